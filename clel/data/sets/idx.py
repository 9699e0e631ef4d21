"""MNIST and Fashion-MNIST from idx files, gzipped or plain.

Y. LeCun, C. Cortes and C. Burges, The MNIST Database of Handwritten Digits, 1998.
H. Xiao, K. Rasul and R. Vollgraf, Fashion-MNIST: a Novel Image Dataset for Benchmarking ML Algorithms, 2017.
"""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from clel.data import sources
from clel.data.images import DataError, Images

CLASSES = {
    "mnist": tuple("0123456789"),
    "fashion_mnist": tuple("T-shirt/top,trouser,pullover,dress,coat,sandal,shirt,sneaker,bag,ankle boot".split(",")),
}


def load_idx(name: str, split: str, root: Path) -> Images:
    """The split "train" (60,000 images) or "test" (10,000) of "mnist" or "fashion_mnist": uint8 [N, 1, 28, 28].

    The MD5 of the decompressed files is checked: both sets use the same file names.

    Raises:
        DataError: a missing data set, a wrong hash, a damaged file.
    """
    part = "train" if split == "train" else "t10k"
    pixels = _read(name, f"{part}-images-idx3-ubyte", root).view(-1, 1, 28, 28)
    return Images(pixels, _read(name, f"{part}-labels-idx1-ubyte", root).long(), name, split, CLASSES[name])


def _read(name: str, file: str, root: Path) -> Tensor:
    """The values uint8 [V] of an idx file, behind a header that the hash has checked: 4 bytes, and 4 a dimension."""
    path = sources.find(name, (file, file + ".gz"), root)
    data = path.read_bytes()
    if path.suffix == ".gz":
        try:
            data = gzip.decompress(data)
        except (OSError, EOFError, zlib.error) as error:
            reason = f"{type(error).__name__}: {error}"
            raise DataError(f"{path}: truncated or not gzip ({reason}); delete it and get it anew") from error
    sources.verify(data, sources.file_hashes(name)[file], str(path))
    return torch.from_numpy(np.frombuffer(data, np.uint8, offset=16 if "idx3" in file else 8).copy())
