"""Reference statistics: features of real images that samples are compared with, made once and kept in the cache.

A file is an .npz with `mu` [D] and `sigma` [D, D], float64, under the names that pytorch-fid and clean-fid read, and
with what this suite needs besides: `rows`, features of up to 10,000 of the images for metrics over pairs, and `about`,
a JSON text that says of what images and in which feature space.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import zipfile
import zlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from clel.data import DataError, Images
from clel.features.chunks import EvenRows
from clel.features.space import FeatureSpace
from clel.metrics import Gaussian, Moments
from clel.storage.atomic import write_atomically
from clel.storage.cache import cache_root, kept_if_possible
from clel.storage.log import progress

MINE = "clel"
KEY = len("-0123456789ab.npz")  # of a file's name: the hash of images and feature space

_BROKEN = (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error)


@dataclass(frozen=True)
class Reference:
    """Real images under a feature space.

    Attributes:
        name: "digits/train", or what another suite's file is called.
        n: number of images; None where another suite's file does not say.
        images: SHA-256 of their content; "unknown" likewise.
        gaussian: mean and covariance of their features.
        rows: features [<= 10,000, D] for metrics over pairs of images; None in another suite's file.
        space: what the features are made by.
        further: by name, the same images in further feature spaces, in which samples are to be measured too.
    """

    name: str
    n: int | None
    images: str
    gaussian: Gaussian
    rows: Tensor | None
    space: FeatureSpace
    further: Mapping[str, Reference] = field(default_factory=dict)

    @property
    def spaces(self) -> tuple[FeatureSpace, ...]:
        """Its own feature space, and the further ones."""
        return (self.space, *(other.space for other in self.further.values()))


def reference(images: Images, space: FeatureSpace, cache: Path | None = None) -> Reference:
    """The statistics of a data set's split, from the cache where they are there."""

    def chunks() -> Iterable[Tensor]:
        return images.pixels.split(1000)

    name = f"{images.name}/{images.split}"
    content = replace(images, labels=None).content_hash()
    return statistics(name, len(images), images.spec.shape, content, chunks, space, cache)


def statistics(
    name: str,
    n: int,
    shape: tuple[int, ...],
    content: str,
    chunks: Callable[[], Iterable[Tensor]],
    space: FeatureSpace,
    cache: Path | None = None,
) -> Reference:
    """The statistics of n uint8 images [m, C, H, W] that come in chunks, from the cache where they are there.

    content: hash of the images. With that of the feature space it is the key of the cache, whatever the images' name.
    """
    held = cached(name, shape, content, space, cache)
    if held is not None:
        return replace(load_statistics(held, space), name=name)
    kept = EvenRows(n)

    def features() -> Iterable[Tensor]:
        for chunk in chunks():
            f, _ = space(chunk)
            kept.show(f)
            shown.update(len(chunk))
            yield f

    with progress(f"statistics of {name} in {space.name}", n, unit="image") as shown:
        moments = Moments.over(features())
    made = Reference(name, n, content, moments.gaussian, kept.rows(), space)
    with kept_if_possible(f"the statistics of {name}"):
        save_statistics(made, statistics_path(name, shape, content, space, cache))
    return made


def statistics_path(
    name: str, shape: tuple[int, ...], content: str, space: FeatureSpace, cache: Path | None = None
) -> Path:
    """Where the statistics of these images in this space are cached."""
    key = hashlib.sha256(f"{content} {space.identity}".encode()).hexdigest()[:12]
    # in lower case, which clean-fid demands of names
    text = re.sub(r"[^a-z0-9_.]+", "-", f"{name}-{'x'.join(map(str, shape))}-{space.name}".lower()).strip("-")
    return (cache or cache_root()) / "statistics" / f"{text}-{key}.npz"


def cached(
    name: str, shape: tuple[int, ...], content: str, space: FeatureSpace, cache: Path | None = None
) -> Path | None:
    """The file that holds these images' statistics in this space, or None: the same images may have another name."""
    path = statistics_path(name, shape, content, space, cache)
    return next(iter(sorted(path.parent.glob(f"*{path.name[-KEY:]}"))), None)


def save_statistics(made: Reference, path: Path) -> None:
    """Write an .npz that this suite, pytorch-fid and clean-fid read."""
    about = {
        "kind": MINE,
        "name": made.name,
        "n": made.n,
        "images": made.images,
        "features": made.space.name,
        "features_identity": made.space.identity,
    }
    arrays: dict[str, Any] = {"mu": made.gaussian.mean.numpy(), "sigma": made.gaussian.covariance.numpy()}
    if made.rows is not None:
        arrays["rows"] = made.rows.numpy()
    memory = io.BytesIO()
    np.savez(memory, about=np.array(json.dumps(about)), **arrays)
    write_atomically(path, memory.getvalue())


def is_statistics(path: Path) -> bool:
    """Whether a file holds statistics: an .npz or a PyTorch file with mu and sigma."""
    if path.suffix in (".pt", ".pth"):
        return {"mu", "sigma"} <= _tensors(path).keys()
    if path.suffix != ".npz" or not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return {"mu.npy", "sigma.npy"} <= set(archive.namelist())


def has_images_too(path: Path) -> bool:
    """Whether a file of statistics holds images beside them, as some tools write both."""
    try:
        return any(array.ndim in (3, 4) for array in _arrays(path).values())
    except _BROKEN:
        return False


def _arrays(path: Path) -> dict[str, Any]:
    """The arrays of an .npz, or of a dict that torch.save wrote."""
    if path.suffix in (".pt", ".pth"):
        return _tensors(path)
    with np.load(path, allow_pickle=False) as file:
        return {key: file[key] for key in file.files}


def _tensors(path: Path) -> dict[str, Any]:
    """The arrays of a dict that torch.save wrote; nothing of any other file. No code of it is run."""
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception:  # noqa: BLE001 - whoever opens it as images says what is wrong with it
        return {}
    held = content.items() if isinstance(content, dict) else ()
    return {str(key): value.numpy() for key, value in held if isinstance(value, Tensor)}


def _about(arrays: dict[str, Any], path: Path) -> dict[str, Any]:
    """What a file of this suite says of itself; nothing in another suite's."""
    try:
        about = json.loads(str(arrays.get("about", "{}")))
    except (ValueError, RecursionError):
        about = None
    if not isinstance(about, dict):
        raise DataError(f"{path}: damaged: its text `about` cannot be read; make the statistics again")
    return about


def load_statistics(path: Path, space: FeatureSpace) -> Reference:
    """Statistics of an .npz of this suite, pytorch-fid or clean-fid, or a dict by torch.save, for samples in `space`.

    Other suites' files name neither images nor feature space: that they belong to this space is the caller's word.

    Raises:
        DataError: no such arrays, of another dimension, not finite, or made in another feature space.
    """
    try:
        arrays = _arrays(path)
    except _BROKEN as error:
        raise DataError(f"{path}: cannot be read as statistics: {error}; remove it to have it made again") from None
    if not {"mu", "sigma"} <= arrays.keys():
        raise DataError(f"{path}: holds {', '.join(sorted(arrays)) or 'nothing'}; statistics have mu and sigma")
    if {arrays["mu"].dtype.kind, arrays["sigma"].dtype.kind} != {"f"}:
        raise DataError(f"{path}: mu is {arrays['mu'].dtype} and sigma {arrays['sigma'].dtype}; expected floats")
    d = space.dimension
    if arrays["mu"].shape != (d,) or arrays["sigma"].shape != (d, d):
        raise DataError(
            f"{path}: mu is {arrays['mu'].shape} and sigma {arrays['sigma'].shape}; {space.name} has {d} dimensions"
        )
    if not (np.isfinite(arrays["mu"]).all() and np.isfinite(arrays["sigma"]).all()):
        raise DataError(f"{path}: mu or sigma holds numbers that are not finite")
    about = _about(arrays, path)
    made_in = about.get("features_identity", space.identity)
    if made_in != space.identity:
        raise DataError(f"{path}: made in {about.get('features')}, another feature space than {space.name}")
    mean, covariance = (torch.from_numpy(arrays[key].astype(np.float64)) for key in ("mu", "sigma"))
    n = about.get("n")
    rows = torch.from_numpy(arrays["rows"]) if "rows" in arrays else None
    return Reference(
        about.get("name", path.name), n, about.get("images", "unknown"), Gaussian(mean, covariance, n), rows, space
    )
