"""ImageNet downsampled to 32x32, from the published batches (pickled or .npz, unpacked or zipped) or a folder.

P. Chrabaszcz, I. Loshchilov and F. Hutter, A Downsampled Variant of ImageNet as an Alternative to the CIFAR
datasets, 2017.
"""

from __future__ import annotations

import io
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import torch

from clel.data import sources
from clel.data.images import DataError, Images
from clel.data.readers.folder import load_folder
from clel.data.readers.pickles import image_rows, load_arrays
from clel.data.readers.tree import Tree, open_tree

COUNTS = {"train": 1_281_167, "test": 50_000}
CLASSES = 1000
_BATCHES = {"train": tuple(f"train_data_batch_{k}" for k in range(1, 11)), "test": ("val_data",)}


def load_imagenet32(split: str, root: Path) -> Images:
    """The split "train" (1,281,167 images) or "test" (the validation split, 50,000): uint8 [N, 3, 32, 32].

    Labels are the published ones less one, 0..999, and classes their published numbers "1".."1000". A folder
    root/imagenet32 with train/ and val/, one directory a class in each, is read too; its classes are those directories.
    The release has no published hash a batch: keys, types, shapes, label range and the number of images are checked,
    and pickles are read by `pickles.load_arrays`.

    Raises:
        DataError: a missing batch, a damaged one, a pickle of anything but arrays, another number of images.
    """
    folder = root / "imagenet32"
    if (folder / "train").is_dir() and (folder / "val").is_dir():
        images = load_folder(folder, split, "imagenet32")
        if images.pixels.shape[1:] != (3, 32, 32):
            raise DataError(f"{folder}: images are {list(images.pixels.shape[1:])}; expected [3, 32, 32]")
        return images
    batches = _BATCHES[split]
    stem = f"Imagenet32_{'train' if split == 'train' else 'val'}"
    names = (stem, f"{stem}_npz", f"{stem}.zip", f"{stem}_npz.zip", batches[0], f"{batches[0]}.npz")
    path = sources.find("imagenet32", names, root)
    if path.name.startswith(batches[0]):
        path = path.parent
    return _from_batches(open_tree(path), split)


def _from_batches(tree: Tree, split: str) -> Images:
    found = tree.find([name for batch in _BATCHES[split] for name in (batch, f"{batch}.npz")])
    # growing in place: the training split is 4 GB, of which concatenating parts would need twice
    pixels, labels = np.empty((0, 3072), np.uint8), np.empty(0, np.int64)
    for batch in _BATCHES[split]:
        name = found.get(batch) or found.get(f"{batch}.npz")
        if name is None:
            raise DataError(f"{tree.path}: lacks the batch {batch} (or {batch}.npz); unpack or get it anew")
        ((_, data),) = tree.read([name])
        where = f"{tree.path}/{name}"
        content = _npz(data, where) if name.endswith(".npz") else load_arrays(data, where)
        rows, values = image_rows(content, "labels", where)
        if len(values) and not (1 <= values.min() and values.max() <= CLASSES):
            raise DataError(f"{where}: labels from {values.min()} to {values.max()}; expected 1 to {CLASSES}")
        pixels.resize((len(labels) + len(rows), 3072), refcheck=False)
        pixels[len(labels) :] = rows
        labels = np.concatenate([labels, values - 1])
    if len(labels) != COUNTS[split]:
        raise DataError(
            f"{tree.path}: {len(labels)} images in the split {split!r}; expected {COUNTS[split]}; get it anew"
        )
    classes = tuple(str(c) for c in range(1, CLASSES + 1))
    return Images(torch.from_numpy(pixels).view(-1, 3, 32, 32), torch.from_numpy(labels), "imagenet32", split, classes)


def _npz(data: bytes, where: str) -> dict[str, Any]:
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as archive:
            return {key: archive[key] for key in ("data", "labels") if key in archive.files}
    except (OSError, ValueError, EOFError, AttributeError, TypeError, zipfile.BadZipFile, zlib.error) as error:
        reason = f"{type(error).__name__}: {error}"
        raise DataError(f"{where}: truncated, or an .npz with anything but arrays in it ({reason})") from error
