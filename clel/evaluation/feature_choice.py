"""Which feature spaces a run is measured in, where its settings leave that to what is there: features `auto`.

Asked once, before training, so that what is written down is always the answer, and a table has one for all its rows.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import Any

from clel.data import load
from clel.data.registry import names
from clel.data.side import split_side
from clel.features.names import AUTO
from clel.methods.settings import EvaluateConfig
from clel.networks.weights import TORCHSCRIPT, is_there

GREY = ("digits", "mnist", "fashion_mnist")
"""The named data sets whose images have one channel."""


def asked(text: str) -> dict[str, Any]:
    """The fields of EvaluateConfig that "inception-clean,lite0" stands for: the main space first, others beside it."""
    features, *also = (name.strip() for name in text.split(","))
    return {"features": features, "also": tuple(also)}


def settled(evaluate: EvaluateConfig, dataset: str) -> EvaluateConfig:
    """The evaluation with `auto` replaced, as it is otherwise.

    Of images in colour: inception-clean, and lite0 of the same samples, where Inception's weights are in the cache,
    else lite0 alone. Of grey ones: classifier.

    Raises:
        DataError: a data set given by a path that cannot be read.
    """
    if evaluate.features != AUTO:
        return evaluate
    if not in_colour(dataset):
        return replace(evaluate, features="classifier")
    if is_there(TORCHSCRIPT):
        return replace(evaluate, features="inception-clean", also=("lite0",))
    return replace(evaluate, features="lite0")


@lru_cache
def in_colour(dataset: str) -> bool:
    """Whether the images of a data set have three channels; of a named one this is known without its files."""
    name = split_side(dataset)[0]
    if name in names():
        return name not in GREY
    return load(dataset, "train").pixels.shape[1] == 3
