"""Image files to uint8: one size and one mode (8-bit grey or RGB) a data set, every refusal with the file's name."""

from __future__ import annotations

import io
import os
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import torch
from torch import Tensor

from clel.data.images import DataError
from clel.storage.log import Notice

if TYPE_CHECKING:
    from PIL.Image import Image

A = TypeVar("A")
B = TypeVar("B")

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp")
_CHUNK = 128
ORIENTATION = 0x0112
"""The tag of EXIF that says how a picture is to be turned for display; 1 is not at all."""
_ACCEPTED = "accepted: 8-bit grey (mode L) or RGB, without transparency"


def read_image(data: bytes, name: str) -> Image:
    """The PIL image, of whatever mode, from its header: its pixels are decoded by `decompress`.

    Raises:
        DataError: not an image, of 16 bits a channel, or with several frames.
    """
    from PIL import Image

    try:
        image = Image.open(io.BytesIO(data))
        frames = getattr(image, "n_frames", 1)
    except Exception as error:  # PIL's decoders raise a dozen kinds of exceptions on damaged input
        raise _unreadable(name) from error
    # PIL turns 48-bit PNG into mode RGB without a word; byte 24 is the bit depth of the header
    if image.mode.startswith("I") or (image.format == "PNG" and data[24] == 16):
        raise DataError(f"{name}: an image of 16 bits a channel (mode {image.mode}); {_ACCEPTED}; convert it")
    if frames > 1:
        raise DataError(f"{name}: {frames} frames in one file; accepted: one image a file")
    return image


def is_turned(image: Image) -> bool:
    """Whether an image from a camera asks to be turned or mirrored for display."""
    # a PNG's is known from its header, or else would have to be looked for behind its pixels
    early = image.format in ("JPEG", "MPO", "WEBP") or "exif" in image.info
    return early and image.getexif().get(ORIENTATION, 1) != 1


def decompress(image: Image, name: str) -> None:
    """Decode the pixels of `image` in place; raises DataError where the file is damaged."""
    try:
        image.load()
    except Exception as error:  # as above
        raise _unreadable(name) from error


def open_image(data: bytes, name: str) -> Image:
    """The decoded PIL image, of mode L or RGB.

    Raises:
        DataError: not an image, truncated, of another mode, of 16 bits a channel, with transparency or with frames.
    """
    image = read_image(data, name)
    decompress(image, name)
    if image.mode not in ("L", "RGB"):
        raise DataError(f"{name}: an image of mode {image.mode}; {_ACCEPTED}; convert it")
    if "transparency" in image.info:
        raise DataError(f"{name}: an image with a transparent colour; {_ACCEPTED}; convert it")
    return image


def planes(image: Image) -> np.ndarray:
    """Pixels uint8 [C, H, W] of an image of mode L or RGB."""
    values = np.asarray(image)
    return values[None] if values.ndim == 2 else values.transpose(2, 0, 1)


def in_threads(work: Callable[[A], B], items: Iterable[A]) -> Iterator[B]:
    """work(item) of each item, in order, a hundred or so at a time: decoders release the interpreter lock."""
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        for chunk in _chunks(items):
            yield from pool.map(work, chunk)


def decode(
    items: Iterable[tuple[str, bytes]],
    index: Mapping[str, int],
    where: str,
    prepare: Callable[[Image, str], Image] | None = None,
) -> Tensor:
    """Pixels uint8 [N, C, H, W], N = len(index), from (name, content) pairs; `name` goes to row index[name].

    Args:
        items: the files, in any order; their contents are held a hundred or so at a time.
        index: the row of each name.
        where: the folder or archive, for messages.
        prepare: applied to each PIL image with its name, such as a crop.

    Raises:
        DataError: a file that open_image refuses, an image that is not square, or one of another size or mode.
    """

    turned: list[str] = []

    def work(item: tuple[str, bytes]) -> tuple[str, np.ndarray]:
        name = f"{where}/{item[0]}"
        image = open_image(item[1], name)
        if is_turned(image):
            turned.append(name)
        if prepare is not None:
            image = prepare(image, name)
        if image.width != image.height:
            raise DataError(f"{name}: {image.width}x{image.height} pixels; accepted: square images; crop or resize it")
        return item[0], planes(image)

    pixels: np.ndarray | None = None
    first, done = "", 0
    for name, values in in_threads(work, items):
        if pixels is None:
            first = name
            pixels = np.empty((len(index), *values.shape), np.uint8)
        if values.shape != pixels.shape[1:]:
            raise DataError(
                f"{where}/{name}: {_describe(values.shape)}, but {first} is {_describe(pixels.shape[1:])}; "
                "accepted: images of one size and one mode; resize or convert them"
            )
        pixels[index[name]] = values
        done += 1
    if pixels is None or done < len(index):
        raise DataError(
            f"{where}: {len(index) - done} of {len(index)} images are missing from it; fetch or pack it anew"
        )
    if turned:
        text = f"{len(turned)} images are to be turned for display (EXIF orientation), such as {min(turned)}"
        warnings.warn(f"{text}; they were taken as they are stored", Notice, stacklevel=2)
    return torch.from_numpy(pixels)


def _chunks(items: Iterable[A]) -> Iterator[list[A]]:
    iterator = iter(items)
    while chunk := list(islice(iterator, _CHUNK)):
        yield chunk


def _unreadable(name: str) -> DataError:
    return DataError(f"{name}: not an image that can be read, or a truncated one")


def _describe(shape: tuple[int, ...]) -> str:
    return f"{'grey' if shape[0] == 1 else 'RGB'} {shape[2]}x{shape[1]}"
