"""The feature spaces by name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from clel.config import choose
from clel.data import DataError, Images
from clel.metrics.classifier import classifier_space
from clel.metrics.inception import MODES, inception_space
from clel.metrics.space import FeatureSpace

Maker = Callable[[Images, Images | None, Path | None], FeatureSpace]


def _classifier(train: Images, held_out: Images | None, cache: Path | None) -> FeatureSpace:
    try:
        return classifier_space(train, held_out, cache)
    except DataError as error:
        raise DataError(f"{error}. Without them take Inception features: evaluate.features inception-clean") from None


def _inception(mode: str) -> Maker:
    return lambda train, held_out, cache: inception_space(mode, train.pixels.device, cache)


FEATURES: dict[str, Maker] = {"classifier": _classifier, **{mode: _inception(mode) for mode in MODES}}


def feature_space(name: str, train: Images, held_out: Images | None = None, cache: Path | None = None) -> FeatureSpace:
    """The feature space of a name, for images like `train`, on their device.

    A classifier is trained on `train` where it is not cached; Inception's weights must be in the cache.

    Raises:
        ConfigError: an unknown name, or weights that are missing or damaged (WeightsError).
        DataError: a classifier of images without labels.
    """
    return choose(FEATURES, name, "feature space")(train, held_out, cache)
