"""The kernel distance against the sum over pairs of images."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from clel.data import DataError
from clel.metrics import TooFewSamples, kernel, kernel_distance
from tests.clel.random_features import normal, seeded


def squared_mmd(x: np.ndarray, y: np.ndarray) -> float:
    """The unbiased estimate with k(a, b) = (a.b / D + 1)^3, pair by pair."""

    def k(a: np.ndarray, b: np.ndarray) -> float:
        return (float((a * b).sum()) / len(a) + 1) ** 3

    m, n = len(x), len(y)
    xx = sum(k(x[i], x[j]) for i in range(m) for j in range(m) if i != j) / (m * (m - 1))
    yy = sum(k(y[i], y[j]) for i in range(n) for j in range(n) if i != j) / (n * (n - 1))
    xy = sum(k(a, b) for a in x for b in y) / (m * n)
    return xx + yy - 2 * xy


def test_against_loops() -> None:
    """With subsets as large as the sets every subset is the whole."""
    x, y = normal(7, 3, 0), normal(7, 3, 1) + 0.5
    mean, std = kernel_distance(x, y, seeded(), subset=50, subsets=3)
    assert mean == pytest.approx(squared_mmd(x.numpy(), y.numpy()), rel=1e-10)
    assert std == pytest.approx(0, abs=1e-10)


def test_in_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = normal(23, 3, 0), normal(23, 3, 1) + 0.5
    monkeypatch.setattr(kernel, "ROWS", 5)
    mean, _ = kernel_distance(x, y, seeded(), subset=23, subsets=1)
    assert mean == pytest.approx(squared_mmd(x.numpy(), y.numpy()), rel=1e-10)


def test_float32_features_are_summed_in_float64() -> None:
    x, y = normal(30, 4, 0).float() * 20, normal(30, 4, 1).float() * 20
    mean, _ = kernel_distance(x, y, seeded(), subsets=1)
    assert mean == pytest.approx(squared_mmd(x.double().numpy(), y.double().numpy()), rel=1e-11)


@pytest.mark.parametrize(("size", "subsets"), [(5, 6), (12, 8)], ids=["subset by subset", "each pair once"])
def test_over_subsets(size: int, subsets: int) -> None:
    """Mean and standard deviation over subsets, drawn without replacement by the generator."""
    x, y = normal(12, 3, 0), normal(20, 3, 1) + 0.5
    generator, values = seeded(5), []
    for _ in range(subsets):
        first = x[torch.randperm(12, generator=generator)[:size]]
        second = y[torch.randperm(20, generator=generator)[:size]]
        values.append(squared_mmd(first.numpy(), second.numpy()))
    mean, std = kernel_distance(x, y, seeded(5), subset=size, subsets=subsets)
    assert mean == pytest.approx(np.mean(values), rel=1e-10)
    assert std == pytest.approx(np.std(values), rel=1e-10)
    assert kernel_distance(x, y, seeded(5), size, subsets) == (mean, std)
    assert kernel_distance(x, y, seeded(6), size, subsets) != (mean, std)


def test_is_unbiased() -> None:
    """Between samples of one distribution it falls on both sides of zero, and its mean is zero within its error.

    The biased estimate, whose diagonals are kept, would lie above zero always.
    """
    values = [kernel_distance(normal(10, 4, k), normal(10, 4, 1000 + k), seeded(), subsets=1)[0] for k in range(300)]
    assert min(values) < 0 < max(values)
    assert abs(np.mean(values)) < 4 * np.std(values) / math.sqrt(300)
    assert kernel_distance(normal(50, 4, 0), normal(50, 4, 1) + 2, seeded())[0] > 1


def test_refusals() -> None:
    with pytest.raises(TooFewSamples, match="at least 2 images a set; given 1 and 9"):
        kernel_distance(normal(1, 3, 0), normal(9, 3, 1), seeded())
    with pytest.raises(DataError, match=r"of one feature space; given \[9, 3\] and \[9, 4\]"):
        kernel_distance(normal(9, 3, 0), normal(9, 4, 1), seeded())
