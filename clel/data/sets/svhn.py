"""SVHN's cropped digits from the published MATLAB files.

Y. Netzer et al., Reading Digits in Natural Images with Unsupervised Feature Learning, 2011.
"""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import torch

from clel.data import sources
from clel.data.images import DataError, Images


def load_svhn(split: str, root: Path) -> Images:
    """The split "train" (73,257 images) or "test" (26,032) of SVHN: uint8 [N, 3, 32, 32], labels the digits 0..9.

    The file's MD5 is checked before it is parsed. The file writes the digit 0 as 10. Its "extra" split is not used.

    Raises:
        DataError: a missing or wrong file.
    """
    from scipy.io import loadmat

    path = sources.find("svhn", (f"{split}_32x32.mat",), root)
    data = path.read_bytes()
    sources.verify(data, sources.file_hashes("svhn")[path.name], str(path))
    try:
        content = loadmat(io.BytesIO(data))
        x, y = content["X"], content["y"].reshape(-1).astype(np.int64)
    except Exception as error:  # scipy's parser raises many kinds on damaged files
        raise DataError(f"{path}: not SVHN's MATLAB file ({type(error).__name__}: {error}); get it anew") from error
    if x.dtype != np.uint8 or x.shape != (32, 32, 3, len(y)):
        raise DataError(f"{path}: 'X' is {x.dtype} {list(x.shape)}; expected uint8 [32, 32, 3, {len(y)}]")
    pixels = torch.from_numpy(np.ascontiguousarray(x.transpose(3, 2, 0, 1)))
    return Images(pixels, torch.from_numpy(y % 10), "svhn", split, tuple(str(d) for d in range(10)))
