"""Sample grids as PNG files."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from clel.data import to_uint8
from clel.storage.atomic import write_atomically


def tile(pixels: Tensor, columns: int = 8, padding: int = 1, between: int = 255) -> Tensor:
    """uint8 [N, C, H, W] -> one image uint8 [C, rows (H + p) + p, columns (W + p) + p].

    Around and between the images is the grey value `between`, white by default.
    """
    n, channels, height, width = pixels.shape
    rows = math.ceil(n / columns)
    shape = (channels, rows * (height + padding) + padding, columns * (width + padding) + padding)
    grid = torch.full(shape, between, dtype=torch.uint8)
    for i, image in enumerate(pixels.cpu()):
        top, left = (i // columns) * (height + padding) + padding, (i % columns) * (width + padding) + padding
        grid[:, top : top + height, left : left + width] = image
    return grid


def save_grid(x: Tensor, path: Path | str, columns: int = 8) -> None:
    """Write images [N, C, H, W], floats in [0, 1] or uint8, as one PNG; small ones enlarged by whole factors.

    Pixels are floor(256 x) as everywhere: no normalisation by the set's minimum and maximum, which would flatter.
    """
    import io

    from PIL import Image

    pixels = x if x.dtype == torch.uint8 else to_uint8(x)
    factor = max(1, 64 // pixels.shape[-1])
    large = pixels.repeat_interleave(factor, 2).repeat_interleave(factor, 3)
    array = tile(large, columns, padding=2).permute(1, 2, 0).numpy()
    memory = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(array[:, :, 0] if array.shape[2] == 1 else array)).save(memory, "PNG")
    write_atomically(Path(path), memory.getvalue())
