"""The sides of a comparison: images to be measured, a reference that is images or statistics, and their features."""

from __future__ import annotations

import json
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from clel.config import ConfigError, choose
from clel.data import DataError, Samples, load, open_samples
from clel.data.registry import SPLITS, is_name, names
from clel.data.samples import existing, named_split
from clel.features.reference import Reference, has_images_too, is_statistics, load_statistics, statistics
from clel.features.space import FeatureSpace
from clel.features.spaces import FEATURES, PRETRAINED, feature_space, named_as

Shape = tuple[int, int, int]


@dataclass(frozen=True)
class Target:
    """The reference before its features are made: images, or a file of statistics.

    Attributes:
        images: None where it is a file of statistics.
        file: that file.
        data_set: name or path of the data set it is a split of; None for any other images.
    """

    images: Samples | None
    file: Path | None
    data_set: str | None

    def statistics(self, space: FeatureSpace) -> Reference:
        """Mean, covariance and rows of features: from the file, or of the images, by way of the cache."""
        if self.file is not None:
            return load_statistics(self.file, space)
        assert self.images is not None
        b = self.images
        return statistics(b.name, b.n, b.shape, b.content_hash(), b.chunks, space)


def open_target(text: str, layout: str | None = None) -> Target:
    """B: all that `open_samples` takes, or statistics: an .npz or a dict by torch.save with mu and sigma."""
    path = existing(text)
    if path is not None and is_statistics(path):
        return Target(None, path, _data_set_of(path))
    named = named_split(text)
    return Target(open_samples(text, layout), None, named[0] if named else None)


def open_measured(text: str, layout: str | None = None) -> Samples:
    """A: all that `open_samples` takes.

    Raises:
        DataError: also for a file of statistics, which is the reference of a comparison.
    """
    path = existing(text)
    if path is not None and is_statistics(path) and not has_images_too(path):
        raise DataError(f"{path}: holds statistics, not images; statistics stand second: clel fid IMAGES {path}")
    return open_samples(text, layout)


def refuse_other_features(target: Target, features: str) -> None:
    """Raise ConfigError, before a network is loaded, where a file of statistics names features of another kind."""
    made_in = None if target.file is None else _about(target.file).get("features")
    if made_in is None:
        return
    wanted = named_as(made_in) or features
    if wanted != features:
        raise ConfigError(f"{target.file}: its statistics are in {made_in} features: add --features {wanted}")


def space_for(features: str, data_set: str | None, device: torch.device) -> tuple[FeatureSpace, Shape | None]:
    """The feature space of a name, and the shape (C, H, W) of the only images that it takes; None for any.

    A classifier is the one of the data set's training split, whichever of its splits is compared with.

    Raises:
        ConfigError: an unknown name, a classifier without a data set, or weights that are missing or damaged.
        DataError: a classifier of a data set without labels.
    """
    choose(FEATURES, features, "feature space")
    if features in PRETRAINED:
        return PRETRAINED[features](device, None), None
    if data_set is None:
        raise ConfigError(
            f"features {features!r}: a classifier is trained on the reference, which must be a labelled data set: "
            f"{', '.join(names())}, or a folder with one directory a class as PATH:train; for other images take "
            f"{', '.join(PRETRAINED)}"
        )
    train, held_out = (load(data_set, split).to(device) for split in SPLITS)
    return feature_space(features, train, held_out), train.spec.shape


def _data_set_of(path: Path) -> str | None:
    """The data set that a file of this suite's statistics is of; None where it is none of ours or does not say."""
    data_set = str(_about(path).get("name", "")).rpartition("/")[0]
    return data_set if is_name(data_set) else None


def _about(path: Path) -> dict[str, str]:
    """What a file of this suite's statistics says of itself; nothing where it is another's, or damaged."""
    try:
        with np.load(path, allow_pickle=False) as file:
            about = json.loads(str(file["about"])) if "about" in file.files else {}
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile):
        return {}  # loading it says what is wrong
    return about if isinstance(about, dict) else {}
