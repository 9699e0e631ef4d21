"""Image data sets laid out as one directory a class, in a folder or an archive, or in one for each split."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from clel.data.images import DataError, Images
from clel.data.readers.decode import SUFFIXES, decode
from clel.data.readers.packed import load_packed
from clel.data.readers.tree import ARCHIVE_SUFFIXES, Tree, open_tree
from clel.data.split import held_out

HELD_OUT_NAMES = ("test", "val", "valid", "validation")
"""Directories beside train/ that hold the split "test"; the first that exists is used."""

_LAYOUT = "accepted: one directory a class, or train/ and test/ with one directory a class in each"


def load_folder(path: Path, split: str, name: str | None = None) -> Images:
    """The split "train" or "test" of the images at `path`: a folder, .zip or .tar with one directory a class.

    train/ and test/ (or val/, valid/, validation/) at the top are the splits; without them the split is `held_out`.
    What StyleGAN's and EDM's tools pack is read as they mean it (`packed`). A single directory around everything is
    looked through. Classes are numbered in the order of their names. Hidden
    files are ignored, and so are files at the top that are no images. Nothing is extracted.

    Returns:
        Images with pixels uint8 [N, C, H, W], labels int64 [N], and the directories' names as classes.

    Raises:
        DataError: an empty class directory, a file in one that is no image, an image outside the class directories,
            images of several sizes or modes, or an archive that is damaged.
    """
    tree = open_tree(path)
    name = name or path.name.split(".")[0]
    packed = load_packed(tree, split, name)
    if packed is not None:
        return packed
    base = _look_through(tree)
    inside = _folders(tree, base)
    given = next((held for held in HELD_OUT_NAMES if held in inside), None) if "train" in inside else None
    if given is None:
        classes = tuple(inside)
        files, labels = _members(tree, base, classes)
        mask = held_out(labels) if split == "test" else ~held_out(labels)
        files, labels = [f for f, chosen in zip(files, mask.tolist(), strict=True) if chosen], labels[mask]
    else:
        others = set(inside) - {"train", *HELD_OUT_NAMES}
        if others:
            raise DataError(f"{path}: {min(others)}/ stands beside train/ and {given}/; {_LAYOUT}; move it away")
        classes = tuple(_folders(tree, base + "train/"))
        chosen = base + ("train/" if split == "train" else given + "/")
        unknown = set(_folders(tree, chosen)) - set(classes)
        if unknown:
            raise DataError(f"{path}: {chosen}{min(unknown)}/ is a class that train/ lacks; {_LAYOUT}")
        files, labels = _members(tree, chosen, tuple(c for c in classes if chosen + c in tree.folders), classes)
    if not files:
        raise DataError(f"{path}: the split {split!r} has no image; {_LAYOUT}")
    pixels = decode(tree.read(files), {file: row for row, file in enumerate(files)}, str(path))
    return Images(pixels, labels, name, split, classes)


def pair(path: Path) -> dict[str, Path]:
    """The folders or archives PATH_train and PATH_test by split, where both are there; nothing otherwise."""
    for suffix in ("", *ARCHIVE_SUFFIXES):
        found = {split: path.with_name(f"{path.name}_{split}{suffix}") for split in ("train", "test")}
        if path.name and all(half.exists() for half in found.values()):
            return found
    return {}


def load_pair(path: Path, split: str) -> Images:
    """The split "train" or "test" of the images in PATH_train and PATH_test, each with one directory a class.

    Raises:
        DataError: as `load_folder`; or a class of one that the other lacks.
    """
    halves = {name: open_tree(half) for name, half in pair(path).items()}
    bases = {name: _look_through(tree) for name, tree in halves.items()}
    inside = {name: tuple(_folders(tree, bases[name])) for name, tree in halves.items()}
    for one, other in (("train", "test"), ("test", "train")):
        lacking = sorted(set(inside[one]) - set(inside[other]))
        if lacking:
            raise DataError(f"{halves[one].path}: {lacking[0]}/ is a class that {halves[other].path} lacks")
    tree = halves[split]
    files, labels = _members(tree, bases[split], inside["train"])
    pixels = decode(tree.read(files), {file: row for row, file in enumerate(files)}, str(tree.path))
    return Images(pixels, labels, path.name, split, inside["train"])


def _folders(tree: Tree, base: str) -> list[str]:
    """Names of the folders directly inside `base` ("" or "a/b/"), sorted."""
    return sorted(f[len(base) :] for f in tree.folders if f.startswith(base) and "/" not in f[len(base) :])


def _look_through(tree: Tree) -> str:
    """The prefix of the directory that holds the classes or splits: past single directories around everything."""
    base = ""
    while len(inside := _folders(tree, base)) == 1:
        deeper = base + inside[0] + "/"
        if not _folders(tree, deeper) or _images(tree, deeper):
            break
        base = deeper
    return base


def _images(tree: Tree, base: str) -> list[str]:
    """Names of the images directly inside `base`."""
    inside = (f for f in tree.files if f.startswith(base) and "/" not in f[len(base) :])
    return [f for f in inside if f.lower().endswith(SUFFIXES)]


def _members(
    tree: Tree, base: str, present: tuple[str, ...], classes: tuple[str, ...] | None = None
) -> tuple[list[str], Tensor]:
    """Files and labels int64 of the class directories `present` inside `base`, in the order of class and file name."""
    stray = _images(tree, base)
    if stray:
        raise DataError(
            f"{tree.path}/{stray[0]}: an image outside the class directories; {_LAYOUT}. "
            "Images without classes cannot be measured yet: the metrics take a classifier of at least two classes"
        )
    if not present:
        raise DataError(f"{tree.path}: no class directory in {base or 'it'}; {_LAYOUT}")
    members: dict[str, list[str]] = {c: [] for c in present}
    for file in tree.files:
        top, slash, _ = file[len(base) :].partition("/")
        if file.startswith(base) and slash:
            if not file.lower().endswith(SUFFIXES):
                kinds = ", ".join(SUFFIXES)
                raise DataError(f"{tree.path}/{file}: not an image file; accepted in a class directory: {kinds}")
            members[top].append(file)
    empty = next((c for c, inside in members.items() if not inside), None)
    if empty is not None:
        raise DataError(f"{tree.path}/{base}{empty}: a class directory without images; remove it or fill it")
    number = {c: label for label, c in enumerate(classes or present)}
    files = [file for c in present for file in members[c]]
    labels = torch.tensor([number[c] for c in present for _ in members[c]], dtype=torch.int64)
    return files, labels
