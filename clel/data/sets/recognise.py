"""Reads the attributes of `shapes` back from pixels, which makes compositional generation checkable."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from clel.data.images import DataError
from clel.data.sets.shapes import ATTRIBUTES, CENTRES, PALETTE, RADII, SIDE, coverage

SIDES = (SIDE, SIDE // 2)
"""Sides at which every attribute can be read: those of `shapes` and of `shapes@16`."""
PERIODS = 4
"""Of the stripes, in the side of an image."""
STRIPED = 16.0
"""Grey levels: a border whose component of that period has a larger amplitude is striped; stripes have 25 and more."""


def recognise(pixels: Tensor) -> dict[str, Tensor]:
    """The attributes, each int64 [N], of images uint8 [N, 3, S, S], S = 32 or 16, that look like those of `shapes`.

    Backgrounds are grey, so the chroma c = max - min over channels is proportional to the coverage a of the shape. Its
    mean place is the centroid; shape and size are those whose coverage there, times the factor that fits best, is
    nearest to c; the colour is that of the pixel with the largest chroma; the outermost pixels are background. Exact on
    images of `shapes` and `shapes@16`; on any other image it is the nearest answer, and `legible` the sign of doubt.

    Raises:
        DataError: pixels of another type or shape.
    """
    parts = [_recognise(piece) for piece in _pieces(pixels)]
    return {name: torch.cat([part[name] for part in parts]) for name in ATTRIBUTES}


def legible(pixels: Tensor) -> Tensor:
    """How much of the colour in an image the nearest shape explains: float64 [N], 1 - |c - k a|^2 / |c|^2; at least
    0.98 on images of `shapes`, 0 where there is no colour at all. `pixels` and errors as those of `recognise`.
    """
    explained = []
    for v in _pieces(pixels):
        chroma = _chroma(v)
        power = chroma.square().sum((1, 2))
        explained.append(torch.where(power > 0, 1 - _misfits(chroma).amin(1) / power.clamp(min=1), 0.0))
    return torch.cat(explained)


def _pieces(pixels: Tensor) -> list[Tensor]:
    if pixels.dtype != torch.uint8 or pixels.ndim != 4 or pixels.shape[1:] not in [(3, s, s) for s in SIDES]:
        given = f"pixels are {pixels.dtype} {list(pixels.shape)}"
        raise DataError(f"recognise: {given}; expected uint8 [N, 3, 32, 32], or [N, 3, 16, 16]")
    return [piece.cpu().double() for piece in pixels.split(2000)]


def _recognise(v: Tensor) -> dict[str, Tensor]:
    chroma = _chroma(v)
    nearest = _misfits(chroma).argmin(1)
    centre_x, centre_y = _centre(chroma)
    return {
        "shape": nearest // len(RADII),
        "colour": _colour(v, chroma),
        "size": nearest % len(RADII),
        "position": 3 * _nearest(centre_y) + _nearest(centre_x),
        "background": _background(v.mean(1)),
    }


def _chroma(v: Tensor) -> Tensor:
    """c [N, S, S]. Less its median, which is 0 on images of `shapes`: a cast of colour over all of an image is none of
    the shape's."""
    chroma = v.amax(1) - v.amin(1)
    return (chroma - chroma.flatten(1).median(1).values[:, None, None]).clamp(min=0)


def _centre(chroma: Tensor) -> tuple[Tensor, Tensor]:
    """x and y [N] of the mean place of c, in pixels of an image of side 32."""
    side = chroma.shape[1]
    middles = (torch.arange(side, dtype=torch.float64) + 0.5) * (SIDE / side)
    total = chroma.sum((1, 2)).clamp(min=1)
    return (chroma.sum(1) * middles).sum(1) / total, (chroma.sum(2) * middles).sum(1) / total


def _misfits(chroma: Tensor) -> Tensor:
    """min_k |c - k a|^2 [N, shapes x sizes]."""
    centre_x, centre_y = _centre(chroma)
    power, found = chroma.square().sum((1, 2)), []
    for shape in range(len(ATTRIBUTES["shape"])):
        for radius in RADII:
            full = coverage(shape, centre_x, centre_y, torch.full_like(centre_x, radius))
            a = avg_pool2d(full[:, None], SIDE // chroma.shape[1])[:, 0]
            found.append(power - (a * chroma).sum((1, 2)).square() / a.square().sum((1, 2)).clamp(min=1e-9))
    return torch.stack(found, 1)


def _nearest(values: Tensor) -> Tensor:
    return (values[:, None] - torch.tensor(CENTRES, dtype=torch.float64)).abs().argmin(1)


def _colour(v: Tensor, chroma: Tensor) -> Tensor:
    peak = chroma.flatten(1).argmax(1)
    pixel = v.flatten(2).gather(2, peak[:, None, None].expand(-1, 3, 1)).squeeze(2)
    bright = (pixel > (pixel.amax(1, keepdim=True) + pixel.amin(1, keepdim=True)) / 2).double()
    return (bright[:, None] - torch.tensor(PALETTE, dtype=torch.float64)).abs().sum(2).argmin(1)


def _background(grey: Tensor) -> Tensor:
    across, down = (grey[:, 0] + grey[:, -1]) / 2, (grey[:, :, 0] + grey[:, :, -1]) / 2
    along_top, along_left = (2 / line.shape[1] * torch.fft.rfft(line)[:, PERIODS].abs() for line in (across, down))
    flat = ((across + down).mean(1) / 2 > 120).long()
    stripes = torch.where(along_left > along_top, 2, 3)
    return torch.where(torch.maximum(along_top, along_left) > STRIPED, stripes, flat)
