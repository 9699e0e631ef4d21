"""SVHN's cropped digits from the published MATLAB files, as torchvision reads them.

Y. Netzer et al., Reading Digits in Natural Images with Unsupervised Feature Learning, 2011.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from clel.data import sources
from clel.data.images import DataError, Images


def load_svhn(split: str, root: Path) -> Images:
    """The split "train" (73,257 images) or "test" (26,032) of SVHN: uint8 [N, 3, 32, 32], labels the digits 0..9.

    The file's MD5 is checked before it is parsed. Its "extra" split is not used.

    Raises:
        DataError: a missing or wrong file.
    """
    from torchvision.datasets import SVHN

    path = sources.find("svhn", (f"{split}_32x32.mat",), root)
    # torchvision checks it too, but says neither which file nor which hash
    sources.verify(path.read_bytes(), sources.file_hashes("svhn")[path.name], str(path))
    try:
        read = SVHN(path.parent, split)
    except Exception as error:  # scipy's parser raises many kinds on damaged files
        raise DataError(f"{path}: not SVHN's MATLAB file ({type(error).__name__}: {error}); get it anew") from error
    pixels = torch.from_numpy(np.ascontiguousarray(read.data))
    return Images(pixels, torch.from_numpy(read.labels), "svhn", split, tuple(str(d) for d in range(10)))
