"""CIFAR-10 and CIFAR-100 from the published Python batches, unpacked or in their archive.

A. Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from clel.data import sources
from clel.data.images import DataError, Images
from clel.data.readers.pickles import image_rows, load_arrays
from clel.data.readers.tree import open_tree


@dataclass(frozen=True)
class Layout:
    """Names inside a release: its folder and archive, the batches of each split, the keys of labels and class names."""

    folder: str
    archive: str
    train: tuple[str, ...]
    test: tuple[str, ...]
    meta: str
    label_key: str
    names_key: str


LAYOUTS = {
    "cifar10": Layout(
        "cifar-10-batches-py",
        "cifar-10-python.tar.gz",
        tuple(f"data_batch_{k}" for k in range(1, 6)),
        ("test_batch",),
        "batches.meta",
        "labels",
        "label_names",
    ),
    "cifar100": Layout(
        "cifar-100-python", "cifar-100-python.tar.gz", ("train",), ("test",), "meta", "fine_labels", "fine_label_names"
    ),
}


def load_cifar(name: str, split: str, root: Path) -> Images:
    """The split "train" (50,000 images) or "test" (10,000) of "cifar10" or "cifar100" (fine labels): [N, 3, 32, 32].

    Each file's MD5 is checked before it is unpickled, and it is unpickled by `pickles.load_arrays`.

    Raises:
        DataError: a missing data set or file, a wrong hash, a pickle of anything but arrays.
    """
    layout = LAYOUTS[name]
    path = sources.find(name, (layout.folder, layout.archive), root)
    batches = layout.train if split == "train" else layout.test
    tree = open_tree(path)
    inside = tree.find((*batches, layout.meta))
    for file in (*batches, layout.meta):
        if file not in inside:
            raise DataError(f"{path}: lacks the file {file!r}. {sources.how_to_get(name, root)}")
    digests = sources.file_hashes(name)
    contents = {}
    for inner, data in tree.read(inside.values()):
        file = inner.rpartition("/")[2]
        sources.verify(data, digests[file], f"{path}/{inner}")
        contents[file] = load_arrays(data, f"{path}/{inner}")
    rows = [image_rows(contents[b], layout.label_key, f"{path}/{b}") for b in batches]
    pixels = np.concatenate([data for data, _ in rows]).reshape(-1, 3, 32, 32)
    labels = np.concatenate([values for _, values in rows])
    if layout.names_key not in contents[layout.meta]:
        raise DataError(f"{path}/{layout.meta}: has no {layout.names_key!r}; get it anew")
    classes = tuple(str(c) for c in contents[layout.meta][layout.names_key])
    return Images(torch.from_numpy(pixels), torch.from_numpy(labels), name, split, classes)
