"""What clel sample is asked to go towards: classes, attributes of the training images, or images like which to draw."""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from torch import Tensor

from clel.config import choose, require
from clel.data import Images, open_samples, to_uint8
from clel.data.readers.decode import SUFFIXES, decode
from clel.methods.clel import CLEL
from clel.methods.method import Method
from clel.random import stream
from clel.sampling.attributes import alternatives, attribute_latents, target, words
from clel.sampling.conditional import Guidance, class_latents, latents, sample_towards


def asked_for(classes: str, like: str | None, method: Method, images: Images, centred: bool) -> Tensor | None:
    """The latents z [K, d] that the options name; None where they name none.

    Raises:
        ConfigError: a method without an encoder, images without labels, or a class that there is not.
        DataError: images that cannot be read, or of another shape.
    """
    if not classes and like is None:
        return None
    method = with_encoder(method)
    if like is not None:
        return latents(method, pictures(like))
    return class_latents(method, images, centred)[[number(name.strip(), images) for name in named(classes, images)]]


def asked_attributes(with_: str, without: str, method: Method, images: Images, centred: bool) -> Tensor:
    """The sums of latents [K, d] of the K conjunctions that --with and --without name; K > 1 is a mixture of chains.

    Raises:
        ConfigError: a method without an encoder, images without attributes, or a contradiction.
    """
    method, asked = with_encoder(method), alternatives(with_, without, images)
    if len(asked) > 1:
        parts = " | ".join(map(words, asked))
        print(f"a mixture of chains, equally many towards each of: {parts}", file=sys.stderr)
    of = attribute_latents(method, images, centred)
    return torch.stack([target(one, of, images.values) for one in asked])


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


def named(classes: str, images: Images) -> list[str]:
    """The classes of a list with commas; "all" are all of them."""
    return list(images.classes) if classes.strip() == "all" else classes.split(",")


def number(name: str, images: Images) -> int:
    """The label of a class, by its name or its number; raises ConfigError, with the nearest, for another."""
    if name not in images.classes and name.isdecimal() and int(name) < len(images.classes):
        return int(name)
    return choose({c: label for label, c in enumerate(images.classes)}, name, f"class of {images.name}")


def drawn_towards(
    method: Method, towards: Tensor, n: int, guidance: Guidance, batch: int, seed: int
) -> tuple[Tensor, int]:
    """n images, uint8 [n, C, H, W], equally many towards each z of [K, d], and how many of each stand in a row."""
    assert isinstance(method, CLEL)  # asked_for has seen to it
    each = -(-n // len(towards))
    targets = towards.repeat_interleave(each, 0)[: each * len(towards)]
    parts = [
        to_uint8(sample_towards(method, part, stream(method.device, seed, "towards", number), guidance)).cpu()
        for number, part in enumerate(targets.split(batch))
    ]
    return torch.cat(parts), min(each, 16) if len(towards) > 1 else 8
