"""Shapes: a procedural data set of RGB 32x32 images whose every attribute can be read back (see `recognise`).

One saturated shape on a grey background. The attributes are drawn uniformly and independently; inside each attribute
value the image still varies continuously (centre, area, brightness, phase of stripes), so that training and held-out
images differ, while the ranges of different values never meet. Only additions, multiplications, square roots and
comparisons in float64 are used, which IEEE 754 rounds alike on every machine: so are the images.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from clel.data.images import Images
from clel.random import stream

SIDE = 32
COUNTS = {"train": 20_000, "test": 5_000}
ATTRIBUTES: dict[str, tuple[str, ...]] = {
    "shape": ("circle", "square", "triangle", "cross"),
    "colour": ("red", "green", "blue", "yellow", "magenta", "cyan"),
    "size": ("small", "medium", "large"),
    "position": (
        "top left",
        "top",
        "top right",
        "left",
        "centre",
        "right",
        "bottom left",
        "bottom",
        "bottom right",
    ),
    "background": ("dark", "light", "rows", "columns"),
}
PALETTE = ((1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 1, 0), (1, 0, 1), (0, 1, 1))
"""Which of the channels R, G, B are bright, by colour."""
RADII = (2.8, 3.9, 5.2)
"""By size: the radius r in pixels of the circle of the same area; every shape has the area pi r^2."""
CENTRES = (11.0, 16.0, 21.0)
"""Centroid of the shape in pixels, by column and by row of the position."""
JITTER_CENTRE, JITTER_RADIUS = 0.8, 0.04
_CHUNK = 2000


def load_shapes(split: str) -> Images:
    """The split "train" (20,000 images) or "test" (5,000) of shapes: uint8 [N, 3, 32, 32].

    Labels are the shapes; `attributes` has each of ATTRIBUTES as int64 [N]. Each split has its own random stream.
    """
    generator = stream("cpu", 0, "shapes", split)
    n = COUNTS[split]
    attributes = {name: torch.randint(len(values), (n,), generator=generator) for name, values in ATTRIBUTES.items()}
    pixels, kinds = render(attributes, generator), ATTRIBUTES["shape"]
    return Images(pixels, attributes["shape"], "shapes", split, kinds, attributes, ATTRIBUTES)


def render(attributes: Mapping[str, Tensor], generator: torch.Generator) -> Tensor:
    """Images uint8 [N, 3, 32, 32] with the given attributes (each int64 [N], by the names and order of ATTRIBUTES)."""
    n = len(attributes["shape"])
    u = torch.rand(n, 7, generator=generator, dtype=torch.float64)
    parts = [
        _render({k: v[i : i + _CHUNK] for k, v in attributes.items()}, u[i : i + _CHUNK]) for i in range(0, n, _CHUNK)
    ]
    return torch.cat(parts)


def _render(attributes: Mapping[str, Tensor], u: Tensor) -> Tensor:
    position = attributes["position"]
    centres = torch.tensor(CENTRES, dtype=torch.float64)
    centre_x = centres[position % 3] + JITTER_CENTRE * (2 * u[:, 0] - 1)
    centre_y = centres[position // 3] + JITTER_CENTRE * (2 * u[:, 1] - 1)
    radius = torch.tensor(RADII, dtype=torch.float64)[attributes["size"]] * (1 + JITTER_RADIUS * (2 * u[:, 2] - 1))
    a = torch.zeros(len(u), SIDE, SIDE, dtype=torch.float64)
    for shape in range(len(ATTRIBUTES["shape"])):
        chosen = attributes["shape"] == shape
        a[chosen] = coverage(shape, centre_x[chosen], centre_y[chosen], radius[chosen])
    bright, dim = 190 + 50 * u[:, 3], 15 + 40 * u[:, 4]
    palette = torch.tensor(PALETTE, dtype=torch.float64)[attributes["colour"]]
    colour = dim[:, None] + (bright - dim)[:, None] * palette
    grey = _background(attributes["background"], u[:, 5], u[:, 6])
    image = grey[:, None] * (1 - a[:, None]) + colour[:, :, None, None] * a[:, None]
    return image.round().to(torch.uint8)


def coverage(shape: int, centre_x: Tensor, centre_y: Tensor, radius: Tensor) -> Tensor:
    """Anti-aliased coverage in [0, 1] of each pixel, float64 [N, 32, 32]: clamp(1/2 - d, 0, 1).

    d is the signed distance in pixels from the pixel's middle to the outline of the shape of area pi r^2 with its
    centroid at (centre_x, centre_y), each [N].
    """
    middles = torch.arange(SIDE, dtype=torch.float64) + 0.5
    x = (middles[None, None, :] - centre_x[:, None, None]).abs()  # every shape is its own mirror image
    y = middles[None, :, None] - centre_y[:, None, None]
    r = radius[:, None, None]
    name = ATTRIBUTES["shape"][shape]
    if name == "circle":
        d = (x * x + y * y).sqrt() - r
    elif name == "square":
        d = torch.maximum(x, y.abs()) - r * (math.pi / 4) ** 0.5
    elif name == "triangle":  # equilateral, a corner up; circumradius R, inradius R / 2
        d = torch.maximum(y.expand_as(x + y), x * (3**0.5 / 2) - y / 2) - r * (math.pi / (3 * 3**0.5)) ** 0.5
    else:  # arms of half width w and half length 3 w: area 20 w^2
        w = r * (math.pi / 20) ** 0.5
        y = y.abs()
        d = torch.minimum(torch.maximum(x - w, y - 3 * w), torch.maximum(x - 3 * w, y - w))
    return (0.5 - d).clamp(0, 1)


def _background(kind: Tensor, level: Tensor, phase: Tensor) -> Tensor:
    """Grey levels [N, 32, 32]: dark 15..45, light 205..235, or stripes of period 8 between about 75 and 165."""
    t = torch.arange(SIDE, dtype=torch.float64) / 8 + phase[:, None]
    wave = 120 + (40 + 10 * level[:, None]) * (4 * (t - t.floor() - 0.5).abs() - 1)
    rows, columns = wave[:, :, None].expand(-1, -1, SIDE), wave[:, None, :].expand(-1, SIDE, -1)
    flat = (15 + 190 * (kind == 1) + 30 * level)[:, None, None].expand(-1, SIDE, SIDE)
    kind = kind[:, None, None]
    return torch.where(kind == 2, rows, torch.where(kind == 3, columns, flat))
