"""Data sets by name or path."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

from clel.config import choose, nearest
from clel.data.images import DataError, Images
from clel.data.limits import refuse_unsound
from clel.data.readers.arrays import load_npz
from clel.data.readers.folder import load_folder, load_pair, pair
from clel.data.readers.tree import ARCHIVE_SUFFIXES
from clel.data.sets.celeba import load_celeba32, load_celeba64
from clel.data.sets.cifar import load_cifar
from clel.data.sets.digits import load_digits
from clel.data.sets.dtd import load_dtd
from clel.data.sets.idx import load_idx
from clel.data.sets.imagenet32 import load_imagenet32
from clel.data.sets.shapes import load_shapes
from clel.data.sets.svhn import load_svhn
from clel.data.side import averaged, split_side

BUNDLED: dict[str, Callable[[str], Images]] = {"digits": load_digits, "shapes": load_shapes}
"""Data sets that need no file: inside scikit-learn, or procedural."""

ON_DISK: dict[str, Callable[[str, Path], Images]] = {
    "cifar10": partial(load_cifar, "cifar10"),
    "cifar100": partial(load_cifar, "cifar100"),
    "svhn": load_svhn,
    "mnist": partial(load_idx, "mnist"),
    "fashion_mnist": partial(load_idx, "fashion_mnist"),
    "celeba64": load_celeba64,
    "celeba32": load_celeba32,
    "dtd": load_dtd,
    "imagenet32": load_imagenet32,
}
"""Data sets whose published files are read from under the data root."""

SPLITS = {"train": "train", "test": "test"}


def names() -> tuple[str, ...]:
    """The names `load` knows, beside paths."""
    return (*BUNDLED, *ON_DISK)


def is_name(text: str) -> bool:
    """Whether it is one of `names()`, at its own side or at another ("cifar10@16"), and no path."""
    return split_side(text)[0] in names()


def data_root() -> Path:
    """The folder of the data sets: the environment variable CLEL_DATA, or ./data."""
    return Path(os.environ.get("CLEL_DATA") or "data").expanduser()


def load(name: str | Path, split: str = "train", root: Path | None = None) -> Images:
    """The split "train" or "test" (held out) of a data set, as uint8 images in memory.

    Args:
        name: one of `names()`; or the path of a folder, .zip or .tar(.gz) of images with one directory a class
            (`folder.load_folder`), of two beside each other (`folder.load_pair`), or of an .npz file
            (`arrays.load_npz`). A relative path is looked for in the working directory, then under `root`. Each may
            have "@" and a smaller side behind it: RGB images are then averaged down to it (`side.averaged`).
        split: "train" or "test".
        root: where data sets lie; by default `data_root()`.

    Raises:
        ConfigError: an unknown name or split, with the nearest known one.
        DataError: a missing data set (where it was looked for, how to get it), or files that cannot be used.
    """
    choose(SPLITS, split, "split")
    root = data_root() if root is None else Path(root)
    known = str(name)
    if known in BUNDLED:
        return BUNDLED[known](split)
    if known in ON_DISK:
        return ON_DISK[known](split, root)
    path = located(name, root)
    plain, side = split_side(known)
    if side is not None and (path is None or not path.name.endswith(f"@{side}")):
        return averaged(load(plain, split, root), side)
    if path is not None:
        if not path.exists():
            return load_pair(path, split)
        return load_npz(path, split) if path.suffix.lower() == ".npz" else load_folder(path, split)
    if isinstance(name, Path) or os.sep in known or known.lower().endswith((".npz", *ARCHIVE_SUFFIXES)):
        looked = " and ".join(str(p) for p in _candidates(name, root))
        raise DataError(
            f"no such data set: looked for {looked}; give an existing path or a name; {nearest(known, names())}"
        )
    return choose(dict.fromkeys(names()), known, "data set")  # type: ignore[return-value]  # always raises


def located(name: str | Path, root: Path | None = None) -> Path | None:
    """The path that `load` reads of a data set given by its path; None for a known name, or where there is none.

    Of two archives or folders beside each other it is the path that their names begin with.
    """
    if is_name(str(name)):
        return None
    root = data_root() if root is None else root
    plain = split_side(str(name))[0]
    candidates = [*_candidates(name, root), *(_candidates(plain, root) if plain != str(name) else ())]
    found = next((p for p in candidates if p.exists() or pair(p)), None)
    if found is not None:
        refuse_unsound(found)
    return found


def _candidates(name: str | Path, root: Path) -> tuple[Path, ...]:
    return tuple(dict.fromkeys((Path(name).expanduser(), root / name)))
