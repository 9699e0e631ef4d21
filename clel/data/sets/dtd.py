"""The Describable Textures Dataset: photographs of textures in 47 classes, 120 each, from 300 to 640 pixels.

M. Cimpoi et al., Describing Textures in the Wild, CVPR 2014.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from clel.data import sources
from clel.data.images import DataError, Images
from clel.data.readers.decode import SUFFIXES, decode
from clel.data.readers.tree import Tree, open_tree

if TYPE_CHECKING:
    from PIL.Image import Image

SIDE = 32
_FILES = {"train": ("train1.txt", "val1.txt"), "test": ("test1.txt",)}


def load_dtd(split: str, root: Path, side: int = SIDE, prepare: Callable[[Image, int], Image] | None = None) -> Images:
    """The split "train" (3,760 images), "test" (1,880) or "all" of them, as uint8 [N, 3, side, side] with labels.

    The splits are the first of the ten that are published; training images are those for training and for validation.
    The largest central square of an image, resized (bilinear, antialiased). The archive's MD5 is checked; of a folder
    that was unpacked it cannot be. Images are decoded at each call.

    Args:
        prepare: another way from an RGB image and a side to an image of that side.

    Raises:
        DataError: a missing or wrong file.
    """
    (remote,) = sources.remotes("dtd")
    path = sources.find("dtd", (remote.file, "dtd"), root)
    if path.is_file():
        found = sources.file_digest(path, remote.digest.partition(":")[0])
        if found != remote.digest:
            raise sources.mismatch(str(path), found, remote.digest)
    tree = open_tree(path)
    top = next((file.partition("images/")[0] for file in tree.files if "images/" in file), "")
    names = _names(tree, top, split)
    classes = tuple(sorted({name.partition("/")[0] for name in names}))
    index = {f"{top}images/{name}": row for row, name in enumerate(names)}
    absent = [file for file in index if file not in set(tree.files)]
    if absent:
        raise DataError(f"{path}: lacks {absent[0]}, {len(absent)} files in all, of the split {split!r}; get it anew")
    way = prepare or square

    def prepared(image: Image, where: str) -> Image:
        return way(image.convert("RGB"), side)

    labels = torch.tensor([classes.index(name.partition("/")[0]) for name in names])
    return Images(decode(tree.read(index), index, str(path), prepared), labels, "dtd", split, classes)


def square(image: Image, side: int) -> Image:
    """The largest central square of an image, resized."""
    from torchvision.transforms import functional as F

    return F.resize(F.center_crop(image, [min(image.size)]), [side])


def _names(tree: Tree, top: str, split: str) -> list[str]:
    """ "class/file" of every image of the split, in the order of the published lists, or of the names for "all"."""
    if split == "all":
        start = f"{top}images/"
        return [f.removeprefix(start) for f in tree.files if f.startswith(start) and f.lower().endswith(SUFFIXES)]
    lists = [f"{top}labels/{file}" for file in _FILES[split]]
    absent = next((file for file in lists if file not in tree.files), None)
    if absent is not None:
        raise DataError(f"{tree.path}: lacks {absent}, the list of the split {split!r}; get it anew")
    read = dict(tree.read(lists))
    return [
        line.strip() for file in lists for line in read[file].decode("ascii", "replace").splitlines() if line.strip()
    ]
