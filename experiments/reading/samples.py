"""Samples that a run left behind, as figures show them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

SHOWN = 64
"""Images in a panel, and of a run that is kept in short."""


def read_samples(path: Path) -> NDArray[np.uint8]:
    """Images uint8 [N, C, H, W], C 1 or 3, of an .npy file.

    Raises:
        ValueError: no such file, or one of another content, in one line for the reader of the figure.
    """
    try:
        images = np.load(path, allow_pickle=False)
    except FileNotFoundError:
        raise ValueError(f"no {path.name}") from None
    except (OSError, ValueError, EOFError):
        raise ValueError(f"{path.name} is not a readable array file") from None
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[1] not in (1, 3) or 0 in images.shape:
        raise ValueError(f"{path.name} holds {images.dtype} {list(images.shape)}, not uint8 [N, 1 or 3, H, W]")
    return images
