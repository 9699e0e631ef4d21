"""Ladders of corruptions in declared strengths: what a feature space must find the farther off the stronger it is.

A rung is as many images as the clean ones, and made of them. Clean and reference images are of one split, no image in
both, so that a rung is compared with images that it was not made of.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from clel.config import require
from clel.data import Images
from clel.random import stream

GRID = 4
"""Patches a side of an image whose patches are swapped."""
Rung = tuple[str, float]
"""A ladder's name and a strength; ("clean", 0) are the images that all others are made of."""
CLEAN: Rung = ("clean", 0.0)


@dataclass(frozen=True)
class Pool:
    """Images that rungs are made of.

    Attributes:
        clean: uint8 [n, 3, S, S].
        further, labels: the images behind them in the same random order, with the clean ones at their head, and their
            classes; None without labels.
        classes: K.
        other: uint8 [m, 3, S, S] of another data set.
    """

    clean: Tensor
    further: Tensor
    labels: Tensor | None
    classes: int
    other: Tensor


@dataclass(frozen=True)
class Ladder:
    """A corruption. unit: of its strengths, in words. corrupt(pool, strength, generator) -> uint8 [n, 3, S, S]."""

    unit: str
    strengths: tuple[float, ...]
    corrupt: Callable[[Pool, float, torch.Generator], Tensor]


def blur(pool: Pool, strength: float, generator: torch.Generator) -> Tensor:
    """A Gaussian filter whose sigma is so many per cent of the side, cut off at four sigma."""
    from torchvision.transforms import functional as TF  # slow to import, and every command imports this file

    sigma = strength / 100 * pool.clean.shape[-1]
    # the edge is mirrored, which needs fewer pixels beyond it than there are inside
    reach = min(max(1, round(4 * sigma)), pool.clean.shape[-1] - 1)
    return TF.gaussian_blur(pool.clean, [2 * reach + 1] * 2, [sigma] * 2)


def normal_noise(pool: Pool, strength: float, generator: torch.Generator) -> Tensor:
    """Normal noise whose standard deviation is so many per cent of the range of pixel values."""
    added = torch.randn(pool.clean.shape, generator=generator) * 255 * strength / 100
    return (pool.clean + added).round().clamp(0, 255).to(torch.uint8)


def jpeg(pool: Pool, strength: float, generator: torch.Generator) -> Tensor:
    """Coded as JPEG of quality 100 - strength, and decoded."""
    from torchvision.io import decode_jpeg, encode_jpeg

    return torch.stack([decode_jpeg(encode_jpeg(image, round(100 - strength))) for image in pool.clean])


def patches(pool: Pool, strength: float, generator: torch.Generator) -> Tensor:
    """Of the 4 x 4 patches of each image so many pairs change places, no patch twice."""
    n, channels, side, _ = pool.clean.shape
    cut = pool.clean.reshape(n, channels, GRID, side // GRID, GRID, side // GRID).permute(0, 2, 4, 1, 3, 5)
    cut = cut.reshape(n, GRID**2, channels, side // GRID, side // GRID)
    order = torch.arange(GRID**2).repeat(n, 1)
    pairs = torch.rand(n, GRID**2, generator=generator).argsort(1)[:, : 2 * round(strength)].reshape(n, -1, 2)
    order.scatter_(1, pairs.flatten(1), pairs.flip(2).flatten(1))
    cut = torch.gather(cut, 1, order[:, :, None, None, None].expand_as(cut))
    cut = cut.reshape(n, GRID, GRID, channels, side // GRID, side // GRID).permute(0, 3, 1, 4, 2, 5)
    return cut.reshape(pool.clean.shape)


def classes(pool: Pool, strength: float, generator: torch.Generator) -> Tensor:
    """Images of other classes only than so many per cent of them, the first ones."""
    assert pool.labels is not None  # `rungs` leaves this ladder out
    kept = pool.further[pool.labels >= round(strength / 100 * pool.classes)]
    n = len(pool.clean)
    require(
        len(kept) >= n, f"{len(kept)} images of the classes that are kept, of {n} that are needed: take fewer images"
    )
    return kept[:n]


def mixture(pool: Pool, strength: float, generator: torch.Generator) -> Tensor:
    """So many per cent of the images are of the other data set."""
    k = round(strength / 100 * len(pool.clean))
    return torch.cat([pool.other[:k], pool.clean[k:]])


LADDERS: Mapping[str, Ladder] = {
    "blur": Ladder("sigma, % of the side", (2.5, 4, 6), blur),
    "noise": Ladder("standard deviation, % of the range", (2, 4, 8), normal_noise),
    "JPEG": Ladder("100 − quality", (20, 50, 80), jpeg),
    "swapped patches": Ladder("pairs of 16", (1, 2, 4), patches),
    "dropped classes": Ladder("% of the classes", (20, 40, 60), classes),
    "another data set": Ladder("% of the images", (5, 10, 20), mixture),
}


def pool_of(images: Images, other: Images, n: int, seed: int) -> tuple[Tensor, Pool]:
    """n reference images, uint8 [n, 3, S, S], and the pool of others, in an order that the seed draws."""
    least = 2 * n
    require(images.spec.channels == 3, f"{images.name}: grey images; the ladders are for images in colour")
    side = images.spec.size
    require(side % GRID == 0 and side >= 2 * GRID, f"{images.name}: side {side}; expected a multiple of {GRID} from 8")
    require(len(images) >= least, f"{images.name}: {len(images)} images; {least} are needed, or take fewer images")
    order = torch.randperm(len(images), generator=stream("cpu", seed, "ladders"))
    pixels, labels = images.pixels.cpu()[order], None if images.labels is None else images.labels.cpu()[order]
    strange = F.interpolate(other.pixels[:n].cpu().float(), (side, side), mode="bicubic", antialias=True)
    strange = strange.round().clamp(0, 255).to(torch.uint8)
    behind = None if labels is None else labels[n:]
    return pixels[:n], Pool(pixels[n:least], pixels[n:], behind, len(images.classes), strange)


def rungs(pool: Pool, seed: int) -> dict[Rung, Tensor]:
    """Every rung of every ladder, the clean images first; without labels no class is dropped."""
    found = {CLEAN: pool.clean}
    for name, ladder in LADDERS.items():
        if name == "dropped classes" and pool.labels is None:
            continue
        for strength in ladder.strengths:
            # one draw for all strengths: a stronger rung is the weaker one and more
            found[name, float(strength)] = ladder.corrupt(pool, strength, stream("cpu", seed, "ladders", name))
    return found
