"""Image data sets as StyleGAN's and EDM's dataset tools pack them: folders of a thousand, labels in dataset.json.

    00000/img00000000.png, 00000/img00000001.png, ..., 00001/img00001000.png, ...
    dataset.json   {"labels": [["00000/img00000000.png", 6], ...]}, or {"labels": null}
The folders are no classes: they keep directories short.
"""

from __future__ import annotations

import json
import re
import warnings
from itertools import pairwise
from pathlib import PurePosixPath
from typing import Any

import torch

from clel.data.images import DataError, Images, refuse_gaps
from clel.data.readers.decode import SUFFIXES, decode
from clel.data.readers.tree import Tree
from clel.data.split import held_out
from clel.storage.log import Notice

LIST = "dataset.json"
NUMBER = re.compile(r"(\d{5,})")


def load_packed(tree: Tree, split: str, name: str) -> Images | None:
    """The split "train" or "test" of a tree that is packed so, in the order of its files' names; None for another tree.

    Classes are "0", "1", ... The split is `held_out`. Chunks without labels are taken as unlabelled, with a notice.

    Raises:
        DataError: a dataset.json that cannot be read, or whose labels are no whole numbers from 0, one for each image.
    """
    found = tree.find([LIST]).get(LIST)
    base = "" if found is None else found[: -len(LIST)]
    files = [f for f in tree.files if f.startswith(base) and f.lower().endswith(SUFFIXES)]
    if found is None and not in_chunks(files):
        return None
    labels = None if found is None else _labels(tree, found, [f[len(base) :] for f in files])
    if labels is None:
        text = "its folders are chunks of numbered files, not classes, and no labels are with them"
        warnings.warn(
            f"{tree.path}: {text}; taken as unlabelled images (classes have names that are no numbers)",
            Notice,
            stacklevel=2,
        )
    chosen = held_out(torch.zeros(len(files), dtype=torch.int64) if labels is None else labels)
    chosen = chosen if split == "test" else ~chosen
    wanted = [file for file, is_in in zip(files, chosen.tolist(), strict=True) if is_in]
    if not wanted:
        raise DataError(f"{tree.path}: the split {split!r} has no image")
    pixels = decode(tree.read(wanted), {file: row for row, file in enumerate(wanted)}, str(tree.path))
    classes = () if labels is None else tuple(str(k) for k in range(int(labels.max()) + 1))
    return Images(pixels, None if labels is None else labels[chosen], name, split, classes)


def in_chunks(files: list[str]) -> bool:
    """Whether folders are numbers, and what is numbered in them tells of no classes.

    Every file's number begins with its folder's, as of 00001/img00001000.png, or goes on from folder to folder.
    """
    numbers: dict[str, list[str]] = {}
    for file in files:
        path = PurePosixPath(file)
        number = NUMBER.search(path.stem)
        if number is None or not NUMBER.fullmatch(path.parent.name):
            return False
        numbers.setdefault(path.parent.name, []).append(number[1])
    folders = sorted(numbers, key=int)
    begin = all(number.startswith(folder) for folder in folders for number in numbers[folder])
    ends = [(min(map(int, numbers[folder])), max(map(int, numbers[folder]))) for folder in folders]
    return bool(folders) and (begin or (len(folders) > 1 and all(a[1] < b[0] for a, b in pairwise(ends))))


def _labels(tree: Tree, listed: str, files: list[str]) -> torch.Tensor | None:
    """Labels int64 of the files, in their order; None where the list has null."""
    where = f"{tree.path}/{listed}"
    try:
        given: Any = json.loads(dict(tree.read([listed]))[listed])["labels"]
        pairs = None if given is None else {str(file): label for file, label in given}
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f'{where}: cannot be read ({error}); expected {{"labels": [[file, label], ...]}}') from None
    if pairs is None:
        return None
    lacking = [file for file in files if file not in pairs]
    if lacking:
        raise DataError(
            f"{where}: no label of {len(lacking)} images, such as {lacking[0]}; expected one for each, or null"
        )
    values = [pairs[file] for file in files]
    wrong = next((v for v in values if isinstance(v, bool) or not isinstance(v, int) or v < 0), None)
    if wrong is not None:
        raise DataError(f"{where}: a label is {wrong!r}; expected whole numbers from 0, one for each image")
    refuse_gaps(max(values) + 1, len(values), where)
    return torch.tensor(values, dtype=torch.int64)
