"""CelebA at 64x64, prepared as in CLEL's release, and at other sides.

Z. Liu et al., Deep Learning Face Attributes in the Wild, ICCV 2015.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from clel.data import sources
from clel.data.images import DataError, Images
from clel.data.readers.decode import decode
from clel.data.readers.tree import open_tree

if TYPE_CHECKING:
    from PIL.Image import Image

CROP, SIDE = 140, 64
PARTITION, ATTRIBUTES = "list_eval_partition.txt", "list_attr_celeba.txt"
NAMES = {"Male": ("Female", "Male")}
"""What the values no and yes of an attribute are called, where that is not "no Young" and "Young"."""
_SPLITS = {"train": "0", "test": "1"}


def load_celeba(
    name: str, split: str, root: Path, side: int = SIDE, prepare: Callable[[Image, int], Image] | None = None
) -> Images:
    """The split "train" (162,770 images) or "test" (the official validation split, 19,867): uint8 [N, 3, side, side].

    Centre crop 140, then a bilinear (antialiased) resize; the held-out images are CelebA's validation split. With side
    64 both are what CLEL's release does. No labels; the 40 attributes where their file lies beside the partition's.
    Images are decoded at each call, which takes minutes on few cores.

    Args:
        name: of the images.
        prepare: another way from an image of 178x218 and a side to one of that side.

    Raises:
        DataError: a missing or wrong file, or an image that is not RGB 178x218.
    """
    prepare = prepare or central
    path = sources.find(name, ("img_align_celeba", "img_align_celeba.zip"), root)
    digests = sources.file_hashes(name)
    partition = sources.find(name, (PARTITION,), root)
    text = partition.read_bytes()
    sources.verify(text, digests[PARTITION], str(partition))
    if path.suffix == ".zip":
        found = sources.file_digest(path, digests[path.name].partition(":")[0])
        if found != digests[path.name]:
            raise sources.mismatch(str(path), found, digests[path.name])
    rows = [line.split() for line in text.decode("ascii", "replace").splitlines() if line.strip()]
    if any(len(row) != 2 for row in rows):
        raise DataError(f"{partition}: expected lines of a file name and a split number; get it anew")
    chosen = [file for file, number in rows if number == _SPLITS[split]]
    tree = open_tree(path)
    inside = tree.find(chosen)
    absent = next((file for file in chosen if file not in inside), None)
    if absent is not None:
        count = len(set(chosen) - inside.keys())
        raise DataError(f"{path}: lacks {absent}, {count} files in all, of the split {split!r}; get it anew")
    index = {inside[file]: row for row, file in enumerate(chosen)}

    def prepared(image: Image, where: str) -> Image:
        if image.mode != "RGB" or image.size != (178, 218):
            raise DataError(
                f"{where}: {image.mode} {image.width}x{image.height}; expected CelebA's aligned RGB 178x218"
            )
        return prepare(image, side)

    pixels = decode(tree.read(index), index, str(path), prepared)
    images, table = Images(pixels, None, name, split), partition.with_name(ATTRIBUTES)
    return with_attributes(images, chosen, table, digests[ATTRIBUTES]) if table.exists() else images


def with_attributes(images: Images, files: Sequence[str], table: Path, digest: str) -> Images:
    """The images, which are these files, with what list_attr_celeba.txt says of them: 0 for its -1, and 1.

    Raises:
        DataError: another file than the published one, or one without a line for an image.
    """
    text = table.read_bytes()
    sources.verify(text, digest, str(table))
    _, header, *lines = text.decode("ascii", "replace").splitlines()
    names, rows = header.split(), {file: marks for file, *marks in map(str.split, filter(str.strip, lines))}
    lacking = [file for file in files if len(rows.get(file, ())) != len(names)]
    if lacking:
        raise DataError(f"{table}: has no line of {len(names)} attributes for {lacking[0]}; get it anew")
    marks = (torch.tensor([[int(mark) for mark in rows[file]] for file in files]) > 0).long()
    values = {name: NAMES.get(name, (f"no {name}", name)) for name in names}
    return replace(images, attributes=dict(zip(names, marks.unbind(1), strict=True)), values=values)


def central(image: Image, side: int) -> Image:
    """The central 140x140 of an aligned CelebA image (178 wide, 218 high), resized."""
    from torchvision.transforms import functional as F

    return F.resize(F.center_crop(image, [CROP]), [side])


load_celeba64 = partial(load_celeba, "celeba64")
load_celeba32 = partial(load_celeba, "celeba32", side=32)
