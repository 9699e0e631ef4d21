"""How images out of distribution are prepared, code by code: an AUROC depends on it as much as on the model.

Read in the authors' repositories: hankook/CLEL at 9b62b6e (datasets.py, test_ood.py), openai/ebm_code_release at
5c24f8e and 76c594b (data.py, ebm_sandbox.py), yilundu/improved_contrastive_divergence at 54b46ad (the same files),
wgrathwohl/JEM at 7f0779a (eval_wrn_ebm.py). What a code does not have, its preparation has not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from clel.data import to_float
from clel.data.sets.celeba import central
from clel.data.sets.dtd import square
from clel.random import stream
from experiments.ood.constructions import mixed, neighbours, reshuffled, shifted

if TYPE_CHECKING:
    from PIL.Image import Image

BATCH = 250
"""Images that go through a network at a time, with noise of a stream of their own."""
SIGMA = 0.015
"""Standard deviation of JEM's noise for images in [0, 1]. [JEM: 0.03 for images in [-1, 1]]"""

Noise = Callable[[Tensor, torch.Generator], Tensor]
Way = Callable[["Image", int], "Image"]


def dequantised(pixels: Tensor, generator: torch.Generator) -> Tensor:
    """x = (v + u) / 256 with u uniform in [0, 1), as in training."""
    return to_float(pixels, generator)


def centred(pixels: Tensor, generator: torch.Generator) -> Tensor:
    """x = v / 255 + u with u uniform in [-1/512, 1/512)."""
    return pixels / 255 + (torch.rand(pixels.shape, generator=generator) - 0.5) / 256


def gaussian(pixels: Tensor, generator: torch.Generator) -> Tensor:
    """x = v / 255 + 0.015 n with n normal."""
    return pixels / 255 + SIGMA * torch.randn(pixels.shape, generator=generator)


@dataclass(frozen=True)
class Prepared:
    """Images as networks get them: floats in [0, 1], the mean over `parts`, each with noise of its own.

    Attributes:
        name: of their random numbers.
        parts: uint8 [N, C, H, W] each; more than one where noisy images are mixed.
        again: the noise comes once more upon the mean.
    """

    name: str
    parts: tuple[Tensor, ...]
    noise: Noise = dequantised
    again: bool = False

    def __len__(self) -> int:
        return len(self.parts[0])

    def batches(self, device: torch.device | str = "cpu", seed: int = 0) -> Iterator[Tensor]:
        """The images [n, C, H, W] in [0, 1], in order; the same for the same seed, on every device."""
        for start in range(0, len(self), BATCH):
            generator = stream("cpu", seed, "ood", self.name, start)
            x = torch.stack([self.noise(part[start : start + BATCH].cpu(), generator) for part in self.parts]).mean(0)
            if self.again:
                x = x + SIGMA * torch.randn(x.shape, generator=generator)
            yield x.clamp(0, 1).to(device)


@dataclass(frozen=True)
class Preparation:
    """One code's way to images in and out of distribution.

    Attributes:
        says: the whole of it, for the line above a table.
        pairs: the test images that are mixed; `rounded` mixes pixel values and adds noise then, else noisy images are.
        noise: of all images, but for those of the sets in `other`.
        svhn: split. textures, celeba: an image's way to a square one, None where the code has none; `every` takes all
            images of textures and not the test split.
        again: noise comes upon mixed images once more.
        as_many: as many images as there are test images, drawn at random, of a set that has more.
    """

    says: str
    pairs: Callable[[Tensor], tuple[Tensor, Tensor]] = shifted
    rounded: bool = False
    noise: Noise = dequantised
    other: Mapping[str, Noise] = field(default_factory=dict)
    svhn: str = "test"
    textures: Way | None = None
    every: bool = True
    celeba: Way | None = None
    again: bool = False
    as_many: bool = False

    def mixing(self, pixels: Tensor) -> tuple[Tensor, ...]:
        """The parts of the interpolated images."""
        first, second = self.pairs(pixels)
        return (mixed(first, second),) if self.rounded else (first, second)


def corner(image: Image, side: int) -> Image:
    """The top left side x side pixels of the image at its full resolution."""
    return image.crop((0, 0, side, side))


def whole(image: Image, side: int) -> Image:
    """The whole image, its sides brought to one length each."""
    from torchvision.transforms import functional as F

    return F.resize(image, [side, side])


def shorter(image: Image, side: int) -> Image:
    """The shorter side resized to `side`, then the central square."""
    from torchvision.transforms import functional as F

    return F.center_crop(F.resize(image, [side]), [side])


SUITE = "suite"
PREPARATIONS: dict[str, Preparation] = {
    SUITE: Preparation(
        "suite: test splits; textures (their largest central square) and CelebA (its central 140 pixels) by one "
        "antialiased bilinear resize; random pairs of test images averaged as pixel values; u ~ U[0, 1) / 256 on all",
        pairs=reshuffled,  # some test splits are in the order of their classes
        rounded=True,
        textures=square,
        every=False,
        celeba=central,
    ),
    "clel": Preparation(
        "clel, the authors' code of CLEL: test splits; of every texture the top left corner at full resolution; pairs "
        "i, i + 100 averaged with their noise; u ~ U[0, 1) / 256 on all; no CelebA at 32x32",
        textures=corner,
    ),
    "igebm": Preparation(
        "igebm, IGEBM's release: the training split of SVHN; of every texture the top left corner; each test image "
        "averaged with the next of its random batch of 32; SVHN, CIFAR-100 and textures v / 255 with "
        "u ~ U(-1, 1) / 512, unlike the test images' v / 256 with U[0, 1) / 256; as many images as test images; "
        "no CelebA",
        pairs=neighbours,
        other={"svhn": centred, "cifar100": centred, "textures": centred},
        svhn="train",
        textures=corner,
        as_many=True,
    ),
    "icd": Preparation(
        "icd, Improved CD's release: the training split of SVHN; of every texture the top left corner, v / 255 with "
        "u ~ U(-1, 1) / 512, and all else v / 256 with U[0, 1) / 256; pairs as igebm's; CelebA's whole images "
        "resized; as many images as test images. Its code reads the first image of CIFAR-100 alone, which is not "
        "imitated",
        pairs=neighbours,
        other={"textures": centred},
        svhn="train",
        textures=corner,
        celeba=whole,
        as_many=True,
    ),
    "jem": Preparation(
        "jem, JEM's release: test splits; pairs of random batches of 100, with noise of their own and once more on "
        "the mean; v / 255 with normal noise of 0.015 on all; CelebA's shorter side resized, then cropped to a square, "
        "which its code leaves out; no textures",
        pairs=reshuffled,
        noise=gaussian,
        celeba=shorter,
        again=True,
    ),
}
"""By the name that PREPARATION=... takes."""
