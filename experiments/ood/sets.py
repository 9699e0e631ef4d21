"""The sets of images out of distribution, near and far, at the size and in the colours of the data set in question."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import pad

from clel.config import ConfigError, choose, require
from clel.data import DataError, Images, load
from clel.data.registry import data_root
from clel.data.sets.celeba import load_celeba
from clel.data.sets.dtd import load_dtd
from clel.data.side import averaged, split_side
from experiments.ood.constructions import constant, draws, mirrored, rotated, shuffled, uniform_noise
from experiments.ood.preparations import PREPARATIONS, SUITE, Preparation, Prepared

LUMA = (0.299, 0.587, 0.114)
"""Weights of R, G and B in grey. [ITU-R BT.601]"""
SMALLEST = 32
"""Side to which photographs are prepared; a smaller one is averaged from it."""


@dataclass(frozen=True)
class OODSet:
    """A set of images out of distribution.

    Attributes:
        near: of the same contents as the data, or of the same kind.
        colour: whether it stands in the tables of data in colour, and grey: in those of grey data.
        make: from the test images, for one that is made of them or of nothing.
        dataset: the name of the data set that it is, otherwise.
        published: its metric in experiments/published.csv.
    """

    title: str
    near: bool = False
    colour: bool = True
    grey: bool = True
    make: Callable[[Tensor], Tensor] | None = None
    dataset: str | None = None
    published: str | None = None


INTERPOLATED = "interpolated"
SETS: dict[str, OODSet] = {
    INTERPOLATED: OODSet("Interpolated test images", near=True, published="auroc_cifar10_interp"),
    # photographs have no side, and encoders are trained to leave it alone
    "mirrored": OODSet("Test images mirrored", near=True, colour=False, make=mirrored),
    "rotated": OODSet("Test images turned by 90°", near=True, make=rotated),
    "shuffled": OODSet("Test images, 4x4 patches shuffled", near=True, make=shuffled),
    "cifar100": OODSet("CIFAR-100", near=True, grey=False, dataset="cifar100", published="auroc_cifar100"),
    "noise": OODSet("Uniform noise", make=uniform_noise),
    "constant": OODSet("Constant images", make=constant),
    "shapes": OODSet("Shapes", dataset="shapes"),
    "fashion_mnist": OODSet("Fashion-MNIST", colour=False, dataset="fashion_mnist"),
    "svhn": OODSet("SVHN", grey=False, dataset="svhn", published="auroc_svhn"),
    "textures": OODSet("Textures (DTD)", grey=False, dataset="dtd", published="auroc_textures"),
    "celeba": OODSet("CelebA", grey=False, dataset="celeba32", published="auroc_celeba"),
}
"""By the name that SETS=... takes, in the order of tables."""


def inside(dataset: str, preparation: str = SUITE) -> Prepared:
    """The images in distribution: the data set's test split."""
    way = choose(PREPARATIONS, preparation, "preparation")
    return Prepared("test", (_test(dataset, data_root()),), way.noise)


def prepared(name: str, dataset: str, preparation: str = SUITE) -> Prepared:
    """The set `name` for runs that were trained on `dataset`, read and made once a process.

    Raises:
        ConfigError: an unknown set or preparation, a set that the preparation has not, or the training data themselves.
        DataError: a data set that is not there (with how to get it), or that cannot be brought to the images' size.
    """
    choose(SETS, name, "set of images out of distribution")
    choose(PREPARATIONS, preparation, "preparation")
    return _prepared(name, dataset, preparation, data_root())


@lru_cache(maxsize=2)
def _test(dataset: str, root: Path) -> Tensor:
    return load(dataset, "test", root).pixels


@lru_cache(maxsize=32)
def _prepared(name: str, dataset: str, preparation: str, root: Path) -> Prepared:
    one, way = SETS[name], PREPARATIONS[preparation]
    test = _test(dataset, root)
    if name == INTERPOLATED:
        return Prepared(name, way.mixing(test), way.noise, way.again)
    if one.make is not None:
        return Prepared(name, (one.make(test),), way.noise)
    require(not same(one, dataset), f"{one.title}: the images that the runs were trained on; leave {name} out of SETS")
    side = test.shape[2]
    pixels = fitted(_read(name, way, preparation, max(side, SMALLEST), root), test.shape[1], side)
    if way.as_many and len(pixels) > len(test):
        pixels = pixels[torch.randperm(len(pixels), generator=draws(name))[: len(test)]]
    return Prepared(name, (pixels,), way.other.get(name, way.noise))


def _read(name: str, way: Preparation, preparation: str, side: int, root: Path) -> Images:
    absent = f"{SETS[name].title}: PREPARATION={preparation} has no such images; leave {name} out, or take another"
    if name == "textures":
        require(way.textures is not None, absent)
        return load_dtd("all" if way.every else "test", root, side, way.textures)
    if name == "celeba":
        require(way.celeba is not None, absent)
        return load_celeba("celeba32", "test", root, side, way.celeba)
    return load(str(SETS[name].dataset), way.svhn if name == "svhn" else "test", root)


def same(one: OODSet, dataset: str) -> bool:
    """Whether a set is of the data set in distribution, at whatever side."""
    return one.dataset is not None and split_side(dataset)[0].startswith(one.dataset.removesuffix("32"))


def fitted(images: Images, channels: int, side: int) -> Tensor:
    """The pixels uint8 [N, channels, side, side]: 28x28 padded with black to 32x32, means over squares, grey by luma.

    Raises:
        DataError: images that these cannot bring to the side.
    """
    pixels = images.pixels
    if pixels.shape[2] == 28 and side != 28:
        pixels = pad(pixels, (2, 2, 2, 2))
    own = pixels.shape[2]
    if own < side:
        raise DataError(f"{images.name}: {own}x{own} pixels, and the images in distribution have {side}x{side}")
    grey = pixels.shape[1] == 1
    colours = Images(pixels.expand(-1, 3, -1, -1).contiguous() if grey else pixels, None, images.name, images.split)
    pixels = colours.pixels if own == side else averaged(colours, side).pixels
    if channels == 3:
        return pixels
    if grey:
        return pixels[:, :1].contiguous()
    luma = torch.tensor(LUMA)[None, :, None, None]
    return torch.cat([(part * luma).sum(1, keepdim=True).round().to(torch.uint8) for part in pixels.split(4096)])


def usual(dataset: str) -> tuple[str, ...]:
    """The sets that a table of this data set has where they are there."""
    grey = _test(dataset, data_root()).shape[1] == 1
    fit = {name: one for name, one in SETS.items() if (one.grey if grey else one.colour)}
    return tuple(name for name, one in fit.items() if not same(one, dataset))


def available(dataset: str, asked: tuple[str, ...] = (), preparation: str = SUITE) -> tuple[tuple[str, ...], list[str]]:
    """The sets that there are, and a sentence on each that is left out; what is asked for must all be there.

    Raises:
        ConfigError, DataError: as `prepared`, for a set that is asked for.
    """
    found, notes = [], []
    for name in asked or usual(dataset):
        try:
            prepared(name, dataset, preparation)
            found.append(name)
        except (ConfigError, DataError) as error:
            if asked:
                raise
            one = SETS[name]
            why = str(error).partition(". Looked")[0].removeprefix(f"{one.title}: ")
            get = f"; make data DATASET={one.dataset} gets it, or says how" if "is not there" in why else ""
            notes.append(f"{one.title}: {why}{get}")
    return tuple(found), notes


def is_near(name: str, dataset: str) -> bool:
    """Whether a set is near: made of the test images, or CIFAR-100 beside CIFAR-10."""
    near = SETS[name].near
    return near and (SETS[name].dataset is None or split_side(dataset)[0].startswith("cifar10"))
