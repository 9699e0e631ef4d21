"""The Inception Score against its definition, and where it is known."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from clel.data import DataError
from clel.metrics import TooFewSamples, inception_score
from tests.clel.features import normal


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
