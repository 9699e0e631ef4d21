"""Folders and archives of image files that other people's code wrote, decoded as they are asked for."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from clel.data.images import DataError
from clel.data.readers.decode import SUFFIXES, decompress, in_threads, is_turned, planes, read_image
from clel.data.readers.streamed import Samples
from clel.data.readers.tree import open_tree

if TYPE_CHECKING:
    from PIL.Image import Image

OTHER_SUFFIXES = (".gif", ".tif", ".tiff", ".avif", ".heic", ".heif", ".jp2", ".jxl", ".ppm", ".pgm", ".pnm", ".tga")
"""Image files that are not read, and so must not be passed over as if they were none."""

_PLAIN = {"L": "L", "RGB": "RGB", "1": "L", "P": "RGB", "LA": "L", "RGBA": "RGB", "PA": "RGB"}
_ACCEPTED = f"accepted: 8-bit grey or RGB in {', '.join(SUFFIXES)}"

ALPHA, PALETTE, BITS, JPEG, TURNED = "alpha", "palette", "1-bit", "JPEG", "turned"
_SENTENCES = {
    ALPHA: "alpha channel or transparent colour left out of {} images: every pixel is opaque",
    PALETTE: "{} palette images converted to RGB",
    BITS: "{} 1-bit images converted to 8-bit grey",
    TURNED: "{} images are to be turned for display (EXIF orientation); they were taken as they are stored",
    JPEG: "{} images are JPEG: its loss alone moves a Fréchet distance",
}


def file_samples(path: Path, name: str) -> Samples:
    """All images in a folder, .zip or .tar(.gz, .bz2, .xz), however deep, in the natural order of their names.

    Natural: digits compare as numbers, so 2.png is before 10.png. Hidden files and what desktops leave behind are
    passed over; so are files that are no images, and this is said. Headers are read here; pixels by Samples.chunks.

    Raises:
        DataError: no image, several sizes or modes, 16 bits, CMYK, several frames, a pixel that is not opaque, a format
            that is not read, a damaged file or archive; from Samples.chunks: damage beyond a header.
    """
    tree = open_tree(path)
    files = sorted((f for f in tree.files if f.lower().endswith(SUFFIXES)), key=_natural)
    other = [f for f in tree.files if f.lower().endswith(OTHER_SUFFIXES)]
    if other:
        raise DataError(
            f"{path}/{other[0]}: one of {len(other)} images in a format not read here; {_ACCEPTED}; convert"
        )
    rest = [f for f in tree.files if not f.lower().endswith(SUFFIXES)]
    if not files:
        held = f"{len(rest)} other files, such as {rest[0]}" if rest else "nothing"
        raise DataError(f"{path}: no image in it, but {held}; {_ACCEPTED}, in folders of any depth")
    shape, notes = _survey(tree.read(files), path)
    if rest:
        notes += (f"{len(rest)} files that are no images passed over, such as {rest[0]}",)

    def work(item: tuple[str, bytes]) -> Tensor:
        values = planes(_plain(item[1], f"{path}/{item[0]}"))
        if values.shape != shape:
            raise DataError(f"{path}/{item[0]}: was changed since it was opened; let its writer finish")
        return torch.tensor(values)[None]

    return Samples(
        name, str(path), len(files), shape, notes, lambda: in_threads(work, _in_order(tree.read(files), files))
    )


def _natural(name: str) -> tuple[list[list[str | int]], str]:
    # odd places are digits, so that numbers meet numbers; the name itself parts 01 from 1
    parts = [re.split(r"([0-9]+)", folder) for folder in name.split("/")]
    return [[int(p) if place % 2 else p for place, p in enumerate(part)] for part in parts], name


def _in_order(items: Iterable[tuple[str, bytes]], names: list[str]) -> Iterator[tuple[str, bytes]]:
    """`items` in the order of `names`. Those of a tar come as they are stored: early ones wait, still compressed."""
    waiting: dict[str, bytes] = {}
    iterator = iter(items)
    for name in names:
        while name not in waiting:
            other, data = next(iterator, ("", b""))
            if not other:
                return  # Samples.chunks counts
            waiting[other] = data
        yield name, waiting.pop(name)


def _survey(items: Iterable[tuple[str, bytes]], path: Path) -> tuple[tuple[int, int, int], tuple[str, ...]]:
    """(C, H, W) of all images, and what to say of them, from their headers; those with alpha are decoded."""
    sizes: Counter[tuple[str, int, int]] = Counter()
    example: dict[tuple[str, int, int], str] = {}
    seen: Counter[str] = Counter()
    for file, size, traits in in_threads(lambda item: _look(item[0], item[1], path), items):
        sizes[size] += 1
        example.setdefault(size, file)
        seen.update(traits)
    if len(sizes) > 1:
        kinds = sizes.most_common()
        listed = "; ".join(f"{n} {_describe(size)}, such as {example[size]}" for size, n in kinds[:5])
        more = f"; and {len(kinds) - 5} sizes more" if len(kinds) > 5 else ""
        raise DataError(
            f"{path}: images of {len(kinds)} kinds: {listed}{more}; accepted: one size, and either grey or RGB; "
            "move the odd ones away, or resize or convert them"
        )
    ((mode, width, height),) = sizes
    return (1 if mode == "L" else 3, height, width), tuple(
        sentence.format(seen[trait]) for trait, sentence in _SENTENCES.items() if seen[trait]
    )


def _describe(size: tuple[str, int, int]) -> str:
    return f"{'grey' if size[0] == 'L' else 'RGB'} {size[1]}x{size[2]}"


def _look(file: str, data: bytes, path: Path) -> tuple[str, tuple[str, int, int], list[str]]:
    """The file, its plain mode and size, and its traits."""
    name = f"{path}/{file}"
    image = read_image(data, name)
    if image.mode not in _PLAIN:
        raise DataError(f"{name}: an image of mode {image.mode}; {_ACCEPTED}; convert it")
    alpha = _has_alpha(image)
    if alpha:
        decompress(image, name)
        lowest, _ = image.convert("RGBA").getchannel("A").getextrema()
        if lowest < 255:  # type: ignore[operator]
            raise DataError(
                f"{name}: an alpha channel, or a transparent colour, with pixels that are not opaque; {_ACCEPTED}; lay "
                "it over the background that the model was trained with, and store RGB"
            )
    traits = {ALPHA: alpha, PALETTE: image.mode in ("P", "PA"), BITS: image.mode == "1", JPEG: image.format == "JPEG"}
    traits[TURNED] = is_turned(image)
    return file, (_PLAIN[image.mode], *image.size), [trait for trait, has in traits.items() if has]


def _has_alpha(image: Image) -> bool:
    return "A" in image.mode or "transparency" in image.info


def _plain(data: bytes, name: str) -> Image:
    """The decoded image in mode L or RGB, without its alpha."""
    image = read_image(data, name)
    if image.mode not in _PLAIN:
        raise DataError(f"{name}: was changed since it was opened; let its writer finish")
    plain = _PLAIN[image.mode]
    alpha = _has_alpha(image)
    decompress(image, name)
    # Pillow warns of a palette with alpha that goes to RGB at once
    return (image.convert("RGBA") if alpha and plain == "RGB" else image).convert(plain)
