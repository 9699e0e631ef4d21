"""The feature spaces by name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch

from clel.config import choose
from clel.data import DataError, Images
from clel.features.classifier import DIMENSION, classifier_space
from clel.features.dinov2 import ARCHITECTURES, dinov2_space
from clel.features.inception import MODES, inception_space
from clel.features.lite0 import lite0_space
from clel.features.space import FeatureSpace
from clel.networks.lite0 import NAME

Maker = Callable[[Images, Images | None, Path | None], FeatureSpace]
Pretrained = Callable[[torch.device | str, Path | None], FeatureSpace]


def _inception(mode: str) -> Pretrained:
    return lambda device, cache: inception_space(mode, device, cache)


def _dinov2(name: str) -> Pretrained:
    return lambda device, cache: dinov2_space(name, device, cache)


PRETRAINED: dict[str, Pretrained] = {
    **{mode: _inception(mode) for mode in MODES},
    "lite0": lambda device, cache: lite0_space(device),
    **{name: _dinov2(name) for name in ARCHITECTURES},
}
"""Networks that others trained, by name: they fit images of any size."""


def _classifier(train: Images, held_out: Images | None, cache: Path | None) -> FeatureSpace:
    try:
        if len(train) <= DIMENSION:  # before it is trained: there will be no distance
            raise DataError(f"{train.name}: {len(train)} images; a classifier's {DIMENSION} features take more")
        return classifier_space(train, held_out, cache)
    except DataError as error:
        advice = "Otherwise take features that need no classifier: evaluate.features lite0 or inception-clean"
        raise DataError(f"{error}. {advice}") from None


def _for_images(make: Pretrained) -> Maker:
    return lambda train, held_out, cache: make(train.pixels.device, cache)


FEATURES: dict[str, Maker] = {
    "classifier": _classifier,
    **{name: _for_images(make) for name, make in PRETRAINED.items()},
}


def feature_space(name: str, train: Images, held_out: Images | None = None, cache: Path | None = None) -> FeatureSpace:
    """The feature space of a name, for images like `train`, on their device.

    A classifier is trained on `train` where it is not cached; Inception's weights must be in the cache, and
    Lite0's come with a package.

    Raises:
        ConfigError: an unknown name, or weights that are missing or damaged (WeightsError).
        DataError: a classifier of images without labels.
    """
    return choose(FEATURES, name, "feature space")(train, held_out, cache)


def named_as(shown: str) -> str | None:
    """By which of these names a feature space is asked for that tables call `shown`; None for another's."""
    if shown.startswith("classifier"):
        return "classifier"
    return {NAME: "lite0"}.get(shown, shown if shown in PRETRAINED else None)
