"""Images made from the test images, or from nothing, that a model of the data should find unlikely.

All take and give uint8 [N, C, H, W]; what is random follows the stream (0, "ood", name).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from clel.config import require
from clel.random import stream

SHIFT = 100
"""Distance of the two test images of a pair. [authors' code of CLEL, datasets.py: 100]"""
BATCH = 32
"""Images of the batches in which `neighbours` has pairs. [IGEBM's release, ebm_sandbox.py: batch_size 32]"""
PATCHES = 4
"""Patches a side that `shuffled` moves."""


def draws(name: str) -> torch.Generator:
    """The random numbers of the set `name`, the same at every call."""
    return stream("cpu", 0, "ood", name)


def shifted(pixels: Tensor) -> tuple[Tensor, Tensor]:
    """The pairs (i, i + 100) of test images, N - 100 of them; of fewer than 200 images (i, i + N // 2)."""
    require(len(pixels) > 1, "pairs of test images take two images or more; there is one")
    shift = min(SHIFT, len(pixels) // 2)
    return pixels[:-shift], pixels[shift:]


def reshuffled(pixels: Tensor) -> tuple[Tensor, Tensor]:
    """`shifted` in a random order: each image of a batch of 100 with that at its place in the batch before it."""
    first, second = shifted(pixels[torch.randperm(len(pixels), generator=draws("pairs"))])
    return first, second


def neighbours(pixels: Tensor) -> tuple[Tensor, Tensor]:
    """N pairs: each image with the next of its batch of 32, the last with the first, the images in a random order."""
    order = torch.randperm(len(pixels), generator=draws("pairs"))
    others = torch.cat([batch.roll(-1) for batch in order.split(BATCH)])
    return pixels[order], pixels[others]


def mixed(first: Tensor, second: Tensor) -> Tensor:
    """The mean of each pair, rounded (a half to even)."""
    return ((first.float() + second.float()) / 2).round().to(torch.uint8)


def rotated(pixels: Tensor) -> Tensor:
    """A quarter turn against the clock."""
    return pixels.rot90(1, (2, 3))


def mirrored(pixels: Tensor) -> Tensor:
    """Left and right exchanged."""
    return pixels.flip(3)


def shuffled(pixels: Tensor) -> Tensor:
    """4x4 patches of each image in a random order of its own, no order being the old one.

    Raises:
        ConfigError: the side is no multiple of 4.
    """
    n, c, side = pixels.shape[:3]
    require(side % PATCHES == 0, f"images of {side}x{side} have no {PATCHES}x{PATCHES} patches of whole pixels")
    p, count = side // PATCHES, PATCHES**2
    generator = draws("shuffled")
    order = torch.rand(n, count, generator=generator).argsort(1)
    same = (order == torch.arange(count)).all(1)
    order[same] = order[same].roll(1, 1)
    patches = pixels.reshape(n, c, PATCHES, p, PATCHES, p).permute(0, 2, 4, 1, 3, 5).reshape(n, count, c, p, p)
    moved = patches[torch.arange(n)[:, None], order].reshape(n, PATCHES, PATCHES, c, p, p)
    return moved.permute(0, 3, 1, 4, 2, 5).reshape(pixels.shape)


def uniform_noise(pixels: Tensor) -> Tensor:
    """As many images, every value uniform in 0..255."""
    return torch.randint(256, pixels.shape, generator=draws("noise"), dtype=torch.uint8)


def constant(pixels: Tensor) -> Tensor:
    """As many images of one grey or colour each, its channels uniform in 0..255."""
    values = torch.randint(256, (*pixels.shape[:2], 1, 1), generator=draws("constant"), dtype=torch.uint8)
    return values.expand(pixels.shape).contiguous()


def blurred(pixels: Tensor, sigma: float) -> Tensor:
    """A Gaussian blur of standard deviation sigma in pixels, cut off at 3 sigma, edges mirrored; sigma 0 for none."""
    from torchvision.transforms.functional import gaussian_blur

    if sigma == 0:
        return pixels
    reach = min(math.ceil(3 * sigma), pixels.shape[2] - 1)
    parts = [gaussian_blur(part.float(), [2 * reach + 1] * 2, [sigma] * 2) for part in pixels.split(4096)]
    return torch.cat([part.round().clamp(0, 255).to(torch.uint8) for part in parts])
