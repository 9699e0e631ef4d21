"""MNIST and Fashion-MNIST from idx files, gzipped or plain.

Y. LeCun, C. Cortes and C. Burges, The MNIST Database of Handwritten Digits, 1998.
H. Xiao, K. Rasul and R. Vollgraf, Fashion-MNIST: a Novel Image Dataset for Benchmarking ML Algorithms, 2017.
"""

from __future__ import annotations

import gzip
import math
import zlib
from pathlib import Path

import numpy as np
import torch

from clel.data import sources
from clel.data.images import DataError, Images

CLASSES = {
    "mnist": tuple(str(d) for d in range(10)),
    "fashion_mnist": (
        "T-shirt/top",
        "trouser",
        "pullover",
        "dress",
        "coat",
        "sandal",
        "shirt",
        "sneaker",
        "bag",
        "ankle boot",
    ),
}


def load_idx(name: str, split: str, root: Path) -> Images:
    """The split "train" (60,000 images) or "test" (10,000) of "mnist" or "fashion_mnist": uint8 [N, 1, 28, 28].

    The MD5 of the decompressed files is checked: both sets use the same file names.

    Raises:
        DataError: a missing data set, a wrong hash, a damaged file.
    """
    part = "train" if split == "train" else "t10k"
    pixels = _read(name, f"{part}-images-idx3-ubyte", root)
    labels = _read(name, f"{part}-labels-idx1-ubyte", root).astype(np.int64)
    return Images(torch.from_numpy(pixels.copy())[:, None], torch.from_numpy(labels), name, split, CLASSES[name])


def _read(name: str, file: str, root: Path) -> np.ndarray:
    path = sources.find(name, (file, file + ".gz"), root)
    data = path.read_bytes()
    if path.suffix == ".gz":
        try:
            data = gzip.decompress(data)
        except (OSError, EOFError, zlib.error) as error:
            reason = f"{type(error).__name__}: {error}"
            raise DataError(f"{path}: truncated or not gzip ({reason}); delete it and get it anew") from error
    sources.verify(data, sources.file_hashes(name)[file], str(path))
    return parse(data, 3 if "idx3" in file else 1, str(path))


def parse(data: bytes, dimensions: int, where: str) -> np.ndarray:
    """The uint8 array in `data`: bytes 0, 0, 8 (uint8), number of dimensions, each size as big-endian int32, values.

    Raises:
        DataError: another header, or more or fewer values than it says.
    """
    header = 4 + 4 * dimensions
    if len(data) < header or data[:4] != bytes([0, 0, 8, dimensions]):
        raise DataError(
            f"{where}: starts with {data[:4].hex()}; expected an idx file of uint8 in {dimensions} dimensions"
        )
    shape = tuple(int(size) for size in np.frombuffer(data, ">i4", dimensions, offset=4))
    if min(shape) < 0 or len(data) - header != math.prod(shape):
        raise DataError(f"{where}: {len(data) - header} values, but its header says {list(shape)}; get it anew")
    return np.frombuffer(data, np.uint8, offset=header).reshape(shape)
