"""CIFAR-10 and CIFAR-100 from the published Python batches, unpacked or in their archive.

A. Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from clel.data import sources
from clel.data.images import DataError, Images
from clel.data.readers.pickles import image_rows, load_arrays
from clel.data.readers.tree import open_tree


def load_cifar(name: str, split: str, root: Path) -> Images:
    """The split "train" (50,000 images) or "test" (10,000) of "cifar10" or "cifar100" (fine labels): [N, 3, 32, 32].

    torchvision names the release's files. Each one's MD5 is checked before it is unpickled, and it is unpickled by
    `pickles.load_arrays`.

    Raises:
        DataError: a missing data set or file, a wrong hash, a pickle of anything but arrays.
    """
    from torchvision.datasets import CIFAR10, CIFAR100

    kind, label_key = (CIFAR10, "labels") if name == "cifar10" else (CIFAR100, "fine_labels")
    path = sources.find(name, (kind.base_folder, kind.filename), root)
    batches = [file for file, _ in (kind.train_list if split == "train" else kind.test_list)]
    meta = kind.meta["filename"]
    tree = open_tree(path)
    inside = tree.find((*batches, meta))
    for file in (*batches, meta):
        if file not in inside:
            raise DataError(f"{path}: lacks the file {file!r}. {sources.how_to_get(name, root)}")
    digests = sources.file_hashes(name)
    contents = {}
    for inner, data in tree.read(inside.values()):
        file = inner.rpartition("/")[2]
        sources.verify(data, digests[file], f"{path}/{inner}")
        contents[file] = load_arrays(data, f"{path}/{inner}")
    rows = [image_rows(contents[b], label_key, f"{path}/{b}") for b in batches]
    pixels = np.concatenate([data for data, _ in rows]).reshape(-1, 3, 32, 32)
    labels = np.concatenate([values for _, values in rows])
    classes = tuple(contents[meta][kind.meta["key"]])
    return Images(torch.from_numpy(pixels), torch.from_numpy(labels), name, split, classes)
