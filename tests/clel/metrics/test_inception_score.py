"""The Inception Score against its definition, and where it is known."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from clel.data import DataError
from clel.evaluation.score import score
from clel.features.reference import Reference
from clel.methods.settings import EvaluateConfig
from clel.metrics import Moments, TooFewSamples, inception_score
from tests.clel.random_features import normal


def by_definition(p: np.ndarray, splits: int) -> tuple[float, float]:
    """Image by image: exp of the mean divergence of p(y|x) from the mean over the split."""
    n, scores = len(p), []
    for i in range(splits):
        part = p[i * n // splits : (i + 1) * n // splits]
        q = sum(part) / len(part)
        divergences = [sum(a * np.log(a / b) for a, b in zip(row, q, strict=True) if a > 0) for row in part]
        scores.append(np.exp(sum(divergences) / len(divergences)))
    mean = sum(scores) / splits
    return mean, (sum((s - mean) ** 2 for s in scores) / splits) ** 0.5


@settings(max_examples=40, deadline=None)
@given(n=st.integers(5, 60), k=st.integers(2, 7), splits=st.integers(1, 5), seed=st.integers(0, 10_000))
def test_against_definition(n: int, k: int, splits: int, seed: int) -> None:
    """Splits need not divide n, nor chunks fall on splits; float32 probabilities are summed in float64."""
    p = (normal(n, k, seed) * 3).softmax(1)
    expected = by_definition(p.numpy(), splits)
    assert inception_score(p, splits=splits) == pytest.approx(expected, rel=1e-10, abs=1e-10)
    sizes = np.random.default_rng(seed).multinomial(n, [0.2, 0.0, 0.5, 0.3]).tolist()
    assert inception_score(iter(p.split(sizes)), n, splits) == pytest.approx(expected, rel=1e-10, abs=1e-10)
    single = p.float()
    expected = by_definition(single.double().numpy(), splits)
    assert inception_score(single, splits=splits) == pytest.approx(expected, rel=1e-10, abs=1e-10)


def onehot(labels: Tensor, classes: int) -> Tensor:
    return torch.nn.functional.one_hot(labels, classes).double()


def test_known_values() -> None:
    """K for certain images of K classes, 1 for a single class and for no idea; the spread is over splits in order."""
    assert inception_score(onehot(torch.arange(50) % 5, 5)) == pytest.approx((5, 0))
    assert inception_score(onehot(torch.zeros(50, dtype=torch.int64), 5)) == pytest.approx((1, 0))
    assert inception_score(torch.full((50, 5), 0.2)) == pytest.approx((1, 0), abs=1e-6)
    # first split: one class, second: two, in equal parts
    labels = torch.tensor([0] * 10 + [0, 1] * 5)
    assert inception_score(onehot(labels, 3), splits=2) == pytest.approx((1.5, 0.5))


def test_order_of_the_images_does_not_matter() -> None:
    """Near-one-hot rows of 10 classes: 1 in splits of one class each, 9.9 in random ones, sorted or not."""
    labels = torch.arange(5000) // 500
    p = 0.999 * onehot(labels, 10) + 0.0001
    assert inception_score(p)[0] == pytest.approx(1)
    mixed = p[torch.randperm(5000, generator=torch.Generator().manual_seed(9))]
    scores = [
        inception_score(rows, generator=torch.Generator().manual_seed(seed))[0]
        for rows in (p, mixed)
        for seed in (0, 1)
    ]
    # in splits of 500 class shares are 0.1 +- sqrt(0.09 / 500): the entropy is log 10 less 9 / (2 * 500)
    sure = float((p[0] * p[0].log()).sum())
    assert scores == pytest.approx([10 * np.exp(sure - 9 / 1000)] * 4, rel=0.005)
    assert len(set(scores)) == 4


@settings(max_examples=20, deadline=None)
@given(n=st.integers(5, 60), splits=st.integers(1, 5), seed=st.integers(0, 10_000))
def test_random_splits_are_a_permutation_of_those_in_order(n: int, splits: int, seed: int) -> None:
    """Equal sizes, whatever the chunks: image i goes to the split that holds position perm[i]."""
    p = (normal(n, 4, seed) * 3).softmax(1)
    order = torch.randperm(n, generator=torch.Generator().manual_seed(seed))
    expected = by_definition(p[order.argsort()].numpy(), splits)
    for chunks in (iter([p]), iter(p.split(3))):
        found = inception_score(chunks, n, splits, torch.Generator().manual_seed(seed))
        assert found == pytest.approx(expected, rel=1e-10, abs=1e-10)


class ByValue:
    """A feature space whose classifier is sure of an image's class: its first pixel."""

    name, identity, accuracy, dimension, labelled, resizing = "inception by value", "by value", None, 2, False, "none"

    def __call__(self, pixels: Tensor, batch: int = 0) -> tuple[Tensor, Tensor]:
        return pixels[:, 0, 0, :2].float(), 0.999 * onehot(pixels[:, 0, 0, 0].long(), 10) + 0.0001


def test_evaluations_do_not_hang_on_the_order_of_files() -> None:
    """Images sorted by class, as folders are; another seed or source draws other splits."""
    pixels = torch.randint(0, 256, (2000, 1, 2, 2), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    pixels[:, 0, 0, 0] = torch.arange(2000) // 200
    space: Any = ByValue()
    real = Reference("r/train", 2000, "r", Moments.over([space(pixels)[0]]).gaussian, None, space)
    config = EvaluateConfig(samples=2000, bootstrap=0)
    drawn = [(0, "fresh"), (1, "fresh"), (0, "given"), (0, "fresh")]
    scores = [score(lambda: pixels.split(300), 2000, real, config, *given)["inception_score"] for given in drawn]
    assert min(scores) > 9 and scores[0] == scores[3] and len(set(scores)) == 3


def test_refusals() -> None:
    p = normal(20, 3, 0).softmax(1)
    with pytest.raises(DataError, match="takes n"):
        inception_score(p.split(7))
    with pytest.raises(DataError, match="ended after 20 images; 21 were announced"):
        inception_score(p.split(7), 21)
    with pytest.raises(DataError, match="more than the 19 images"):
        inception_score(p.split(7), 19)
    with pytest.raises(TooFewSamples, match="given 20 images, 21 splits"):
        inception_score(p, splits=21)
    for wrong in (normal(20, 3, 0), p / 2, torch.full((20, 3), torch.nan)):
        with pytest.raises(DataError, match="softmax first"):
            inception_score(wrong)
