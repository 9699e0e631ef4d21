"""Classifiers that say what class an image shows: one for the table, which took no part in anything else, one for the
sweep that chooses settings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from clel.config import ConfigError, choose
from clel.data import Images, load
from clel.features.spaces import feature_space

SHOWN = 10_000
"""Training images, at most, that a judge learns from; of more every (N / SHOWN)-th."""
Fit = Callable[[Images, Images], Callable[[Tensor], Tensor]]
"""(training split, held-out split) -> (uint8 images [N, C, H, W] -> labels int64 [N])."""


@dataclass(frozen=True)
class Judge:
    """A classifier. name: for people. accuracy: share of the held-out images that it gets right."""

    name: str
    accuracy: float
    labels: Callable[[Tensor], Tensor]


def _svm(train: Images, held_out: Images) -> Callable[[Tensor], Tensor]:
    """Support vectors with a radial kernel on pixels: what 8x8 digits take."""
    from sklearn.svm import SVC

    assert train.labels is not None  # judge_of has looked
    model = SVC(C=10.0, gamma="scale").fit(_flat(train.pixels), train.labels.cpu().numpy())
    return lambda pixels: torch.from_numpy(model.predict(_flat(pixels)))


def _logistic(train: Images, held_out: Images) -> Callable[[Tensor], Tensor]:
    """Logistic regression on standardised Lite0 features."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    assert train.labels is not None
    space = feature_space("lite0", train, held_out)
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=300, C=0.01))
    model.fit(space(train.pixels)[0].numpy(), train.labels.cpu().numpy())
    return lambda pixels: torch.from_numpy(model.predict(space(pixels)[0].numpy()))


def _network(train: Images, held_out: Images) -> Callable[[Tensor], Tensor]:
    """The classifier whose features distances are measured in where Inception means nothing."""
    space = feature_space("classifier", train, held_out)
    return lambda pixels: space(pixels)[1].argmax(1)


def _neighbours(train: Images, held_out: Images) -> Callable[[Tensor], Tensor]:
    """The majority of the 20 nearest training images by Lite0's features."""
    from sklearn.neighbors import KNeighborsClassifier

    assert train.labels is not None
    space = feature_space("lite0", train, held_out)
    model = KNeighborsClassifier(20, metric="cosine").fit(space(train.pixels)[0].numpy(), train.labels.cpu().numpy())
    return lambda pixels: torch.from_numpy(model.predict(space(pixels)[0].numpy()))


JUDGES: dict[str, tuple[str, Fit]] = {
    "svm": ("a support vector machine on pixels", _svm),
    "lite0": ("logistic regression on EfficientNet-Lite0 features", _logistic),
    "classifier": ("the classifier of the distances", _network),
    "neighbours": ("nearest neighbours by EfficientNet-Lite0 features", _neighbours),
}
"""By name: what they are called, and how they are fitted."""


def judge_names(images: Images) -> tuple[str, str]:
    """The judge of the table and that of the sweep, for such images."""
    return ("svm", "classifier") if images.spec.channels == 1 else ("lite0", "neighbours")


@lru_cache(maxsize=4)
def judge_of(dataset: str, name: str) -> Judge:
    """The judge of a data set, fitted to its training split; once a process.

    Raises:
        ConfigError: an unknown judge, or images without labels.
    """
    title, fit = choose(JUDGES, name, "judge")
    train, held_out = load(dataset, "train"), load(dataset, "test")
    if train.labels is None or held_out.labels is None:
        raise ConfigError(f"{dataset}: no labels; classes are judged on labelled images")
    labels = fit(some(train), held_out)
    accuracy = float((labels(held_out.pixels) == held_out.labels).double().mean())
    return Judge(title, accuracy, labels)


def _flat(pixels: Tensor) -> Any:
    return (pixels.cpu().flatten(1).double() / 255).numpy()


def some(images: Images) -> Images:
    """At most SHOWN of the labelled images, evenly over the split."""
    if len(images) <= SHOWN:
        return images
    assert images.labels is not None
    chosen = torch.linspace(0, len(images) - 1, SHOWN, dtype=torch.float64).long()
    return Images(images.pixels[chosen], images.labels[chosen], images.name, images.split, images.classes)
