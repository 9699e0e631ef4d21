"""What clel sample is asked to go towards: classes, attributes of the training images, or images like which to draw."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from clel.config import choose, require
from clel.data import Images, open_samples, to_uint8
from clel.data.readers.decode import SUFFIXES, decode
from clel.methods.clel import CLEL
from clel.methods.method import Method
from clel.random import stream
from clel.sampling.attributes import Conjunction, aims, alternatives, asked_in_words, attribute_latents, target
from clel.sampling.conditional import Guidance, class_latents, latents, sample_classes, sample_towards


@dataclass(frozen=True)
class Towards:
    """How n chains of a run are drawn towards what was asked: K things, equally many chains to each.

    draw: (chains of each of the K things int64 [M], generator, guidance) -> images [M, C, H, W] in [0, 1].
    """

    count: int
    draw: Callable[[Tensor, torch.Generator, Guidance], Tensor]


def asked_for(
    method: Method,
    images: Images,
    *,
    classes: str = "",
    like: str | None = None,
    with_: str = "",
    without: str = "",
    centred: bool = False,
) -> Towards | None:
    """What the options of these names name, one of the three kinds; None where they name nothing.

    Raises:
        ConfigError: a method without an encoder, images without labels or attributes, a class that there is not, or a
            contradiction.
        DataError: images that cannot be read, or of another shape.
    """
    if with_ or without:
        return _attributes(with_encoder(method), alternatives(with_, without, images), images, centred)
    if classes:
        return _classes(with_encoder(method), classes_named(classes, images), images, centred)
    return None if like is None else _images(with_encoder(method), pictures(like))


def _classes(method: CLEL, names: list[str], images: Images, centred: bool) -> Towards:
    of = class_latents(method, images, centred)
    numbers = torch.tensor([class_number(name.strip(), images) for name in names], device=of.z.device)
    return Towards(len(numbers), lambda chains, g, guidance: sample_classes(method, of, numbers[chains], g, guidance))


def _images(method: CLEL, pixels: Tensor) -> Towards:
    z = latents(method, pixels)
    return Towards(len(z), lambda chains, g, guidance: sample_towards(method, z[chains], g, guidance))


def _attributes(method: CLEL, asked: list[Conjunction], images: Images, centred: bool) -> Towards:
    """The sums of latents of conjunctions; several are a mixture of chains."""
    if len(asked) > 1:
        parts = " | ".join(map(asked_in_words, asked))
        print(f"a mixture of chains, equally many towards each of: {parts}", file=sys.stderr)
    of = attribute_latents(method, images, centred)

    def draw(chains: Tensor, generator: torch.Generator, guidance: Guidance) -> Tensor:
        parts = []
        for k, n in zip(*(x.tolist() for x in chains.unique_consecutive(return_counts=True)), strict=True):
            t = target(asked[k], of, images.values).expand(n, -1)
            to_reach = aims(asked[k], of, images.values, n)
            parts.append(sample_towards(method, t, generator, guidance, aims=to_reach))
        return torch.cat(parts)

    return Towards(len(asked), draw)


def with_encoder(method: Method) -> CLEL:
    """The method, where it is CLEL; raises ConfigError for another, which has no latents to go towards."""
    require(
        isinstance(method, CLEL), f"{method.title} has no encoder; --classes, --like, --with and --without are for CLEL"
    )
    assert isinstance(method, CLEL)
    return method


def pictures(like: str) -> Tensor:
    """The images, uint8 [K, C, H, W], of an image file, or of whatever `open_samples` reads."""
    path = Path(like).expanduser()
    if path.is_file() and path.name.lower().endswith(SUFFIXES):
        return decode(iter([(path.name, path.read_bytes())]), {path.name: 0}, str(path))
    return torch.cat(list(open_samples(like).chunks()))


def classes_named(classes: str, images: Images) -> list[str]:
    """The classes of a list with commas; "all" are all of them."""
    return list(images.classes) if classes.strip() == "all" else classes.split(",")


def class_number(name: str, images: Images) -> int:
    """The label of a class, by its name or its number; raises ConfigError, with the nearest, for another."""
    if name not in images.classes and name.isdecimal() and int(name) < len(images.classes):
        return int(name)
    return choose({c: label for label, c in enumerate(images.classes)}, name, f"class of {images.name}")


def drawn_towards(
    method: Method, towards: Towards, n: int, guidance: Guidance, batch: int, seed: int
) -> tuple[Tensor, int]:
    """n images, uint8 [n, C, H, W], equally many of each thing asked for, and how many of each stand in a row."""
    each = -(-n // towards.count)
    chains = torch.arange(towards.count, device=next(method.parameters()).device).repeat_interleave(each)
    parts = [
        to_uint8(towards.draw(part, stream(part.device, seed, "towards", number), guidance)).cpu()
        for number, part in enumerate(chains.split(batch))
    ]
    return torch.cat(parts), min(each, 16) if towards.count > 1 else 8
