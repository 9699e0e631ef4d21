"""Reads the attributes of `shapes` back from pixels, which makes compositional generation checkable."""

from __future__ import annotations

import torch
from torch import Tensor

from clel.data.images import DataError
from clel.data.shapes import ATTRIBUTES, CENTRES, PALETTE, RADII, SIDE, coverage


def recognise(pixels: Tensor) -> dict[str, Tensor]:
    """The attributes, each int64 [N], of images uint8 [N, 3, 32, 32] that look like those of `shapes`.

    Backgrounds are grey, so the chroma max - min over channels is proportional to the coverage a of the shape. The sum
    of a is the area pi r^2, its mean place the centroid; the shape is the one whose coverage at that place and area is
    nearest to a; the colour is that of the pixel with the largest chroma; the outermost pixels are background. Exact on
    images of `shapes`; on any other image it is the nearest answer, without a sign of doubt.

    Raises:
        DataError: pixels of another type or shape.
    """
    if pixels.dtype != torch.uint8 or pixels.ndim != 4 or pixels.shape[1:] != (3, SIDE, SIDE):
        raise DataError(f"recognise: pixels are {pixels.dtype} {list(pixels.shape)}; expected uint8 [N, 3, 32, 32]")
    parts = [_recognise(piece.cpu().double()) for piece in pixels.split(2000)]
    return {name: torch.cat([part[name] for part in parts]) for name in ATTRIBUTES}


def _recognise(v: Tensor) -> dict[str, Tensor]:
    chroma = v.amax(1) - v.amin(1)
    a = chroma / chroma.amax((1, 2), keepdim=True).clamp(min=1)
    area = a.sum((1, 2)).clamp(min=1)
    middles = torch.arange(SIDE, dtype=torch.float64) + 0.5
    centre_x, centre_y = (a.sum(1) * middles).sum(1) / area, (a.sum(2) * middles).sum(1) / area
    radius = (area / torch.pi).sqrt()
    errors = [
        (coverage(s, centre_x, centre_y, radius) - a).square().sum((1, 2)) for s in range(len(ATTRIBUTES["shape"]))
    ]
    cell_x, cell_y = _nearest(centre_x, CENTRES), _nearest(centre_y, CENTRES)
    return {
        "shape": torch.stack(errors, 1).argmin(1),
        "colour": _colour(v, chroma),
        "size": _nearest(radius, RADII),
        "position": 3 * cell_y + cell_x,
        "background": _background(v.mean(1)),
    }


def _nearest(values: Tensor, levels: tuple[float, ...]) -> Tensor:
    return (values[:, None] - torch.tensor(levels, dtype=torch.float64)).abs().argmin(1)


def _colour(v: Tensor, chroma: Tensor) -> Tensor:
    peak = chroma.flatten(1).argmax(1)
    pixel = v.flatten(2).gather(2, peak[:, None, None].expand(-1, 3, 1)).squeeze(2)
    bright = (pixel > (pixel.amax(1, keepdim=True) + pixel.amin(1, keepdim=True)) / 2).double()
    return (bright[:, None] - torch.tensor(PALETTE, dtype=torch.float64)).abs().sum(2).argmin(1)


def _background(grey: Tensor) -> Tensor:
    top, left = grey[:, 0, :], grey[:, :, 0]
    along_top, along_left = (line.amax(1) - line.amin(1) for line in (top, left))
    flat = (top.mean(1) > 120).long()
    stripes = torch.where(along_left > along_top, 2, 3)
    return torch.where(torch.maximum(along_top, along_left) > 40, stripes, flat)
