"""Image data sets in .npz files."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from clel.config import nearest
from clel.data.images import DataError, Images, refuse_gaps
from clel.data.split import held_out

KEYS = ("images", "labels", "images_test", "labels_test")


def load_npz(path: Path, split: str, name: str | None = None) -> Images:
    """The split "train" or "test" of an .npz file.

    Keys: `images` uint8 [N, H, W, C] or [N, H, W], optionally `labels` integers [N] from 0, and optionally
    `images_test` and `labels_test` for the held-out images. Without `images_test` the split is `split.held_out`, with
    the images in the file's order.

    Raises:
        DataError: a damaged file, an unknown or missing key, a pickled array, or one of another type or shape.
    """
    try:
        archive = np.load(path, allow_pickle=False)
        if not isinstance(archive, np.lib.npyio.NpzFile):
            raise DataError(f"{path}: a single array; accepted: .npz with the keys {', '.join(KEYS)}")
        with archive:
            return _from_keys(archive, path, split, name or path.name.split(".")[0])
    except DataError:
        raise
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(
            f"{path}: cannot be read ({type(error).__name__}: {error}); it is truncated, or holds pickled objects; "
            "accepted: numeric arrays saved by numpy.savez or numpy.savez_compressed"
        ) from error


def _from_keys(archive: np.lib.npyio.NpzFile, path: Path, split: str, name: str) -> Images:
    for key in archive.files:
        if key not in KEYS:
            raise DataError(f"{path}: unknown key {key!r}; {nearest(key, KEYS)}")
    if "images" not in archive.files:
        raise DataError(f"{path}: has the keys {', '.join(archive.files) or 'none'}; expected 'images' among them")
    own_split = "images_test" in archive.files
    suffix = "_test" if own_split and split == "test" else ""
    pixels = _pixels(archive["images" + suffix], f"{path}: {'images' + suffix!r}")
    if own_split:
        sizes = [tuple(archive[key].shape[1:]) for key in ("images", "images_test")]
        if sizes[0] != sizes[1]:
            raise DataError(
                f"{path}: images are {list(sizes[0])} each, images_test {list(sizes[1])}; expected the same"
            )
    labels: dict[str, Tensor] = {
        k: _labels(archive[k], f"{path}: {k!r}") for k in ("labels", "labels_test") if k in archive.files
    }
    if len(labels) == 1 and own_split or "labels_test" in labels and not own_split:
        raise DataError(f"{path}: has {next(iter(labels))!r} alone; give labels of both splits, or of none")
    chosen = labels.get("labels" + suffix)
    if chosen is not None and len(chosen) != len(pixels):
        raise DataError(f"{path}: {len(pixels)} images, but {len(chosen)} labels; expected one label an image")
    count = max((int(values.max()) + 1 for values in labels.values() if len(values)), default=0)
    refuse_gaps(count, sum(map(len, labels.values())), str(path))
    if not own_split:
        mask = held_out(torch.zeros(len(pixels), dtype=torch.int64) if chosen is None else chosen)
        mask = mask if split == "test" else ~mask
        pixels, chosen = pixels[mask], None if chosen is None else chosen[mask]
    return Images(pixels, chosen, name, split, tuple(str(c) for c in range(count)))


def _pixels(values: np.ndarray, where: str) -> Tensor:
    if values.ndim == 3:
        values = values[..., None]
    ok = values.dtype == np.uint8 and values.ndim == 4 and values.shape[3] in (1, 3)
    if not ok or values.shape[1] != values.shape[2]:
        raise DataError(
            f"{where} is {values.dtype} {list(values.shape)}; expected uint8 [N, H, W, C] or [N, H, W] with H = W and "
            "C = 1 or 3 (floats in [0, 1): floor(256 x); channels first: transpose(0, 2, 3, 1))"
        )
    return torch.from_numpy(values).permute(0, 3, 1, 2).contiguous()


def _labels(values: np.ndarray, where: str) -> Tensor:
    if values.dtype.kind not in "iu" or values.ndim != 1 or (len(values) and int(values.min()) < 0):
        raise DataError(f"{where} is {values.dtype} {list(values.shape)}; expected integers [N] from 0")
    return torch.from_numpy(values.astype(np.int64))
