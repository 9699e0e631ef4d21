"""Precision, recall, density, coverage by hand, against loops, and in exact integer arithmetic where images repeat."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from clel.config import ConfigError
from clel.data import DataError
from clel.metrics import NeighbourMetrics, TooFewSamples, neighbour_metrics, neighbours
from tests.clel.random_features import normal, seeded


def points(*values: float) -> Tensor:
    return torch.tensor(values).view(-1, 1)


def precision_recall(real: Tensor, fake: Tensor, k: int) -> tuple[float, float]:
    result = neighbour_metrics(real, fake, k, k)
    return result.precision, result.recall


def all_four(result: NeighbourMetrics) -> tuple[float, float, float, float]:
    return result.precision, result.recall, result.density, result.coverage


def test_precision_recall_by_hand() -> None:
    """On a line, k = 1: the real set reaches 1 around 0 and 1, and 2 around 3 (over [-1, 5])."""
    real = points(0, 1, 3)
    fake = points(0.5, 4.9, 5.1, 100)
    # the fakes' balls: 4.4 around 0.5, 0.2 around 4.9 and 5.1, 94.9 around 100
    assert precision_recall(real, fake, k=1) == (0.5, 1.0)
    assert precision_recall(real, points(50, 51, 52), k=1) == (0.0, 0.0)
    # one mode copied: all fakes are right, and one real image of three is covered
    assert precision_recall(points(0, 10, 20), points(0, 0.1, 0.2), k=1) == pytest.approx((1.0, 1 / 3))
    assert precision_recall(real, real, k=1) == (1.0, 1.0)


def test_density_coverage_by_hand() -> None:
    """The same balls: 0.5 lies in those around 0 and 1, 4.9 in that around 3, the others in none."""
    result = neighbour_metrics(points(0, 1, 3), points(0.5, 4.9, 5.1, 100), k=2, k_density=1)
    assert (result.density, result.coverage) == (3 / 4, 1.0)
    # fakes crowd between two real images of four: each lies in two balls, and half the real images are covered
    result = neighbour_metrics(points(0, 1, 30, 31), points(0.4, 0.5, 0.6), k=1, k_density=1)
    assert all_four(result) == pytest.approx((1.0, 0.0, 2.0, 0.5))


def squared(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """|x_i - y_j|^2, exact for small integers."""
    return ((x[:, None] - y[None]) ** 2).sum(-1)


def by_loops(real: np.ndarray, fake: np.ndarray, k: int, k_density: int) -> tuple[float, float, float, float]:
    def radii(x: np.ndarray, k: int) -> list[float]:
        s = squared(x, x)
        return [sorted(s[i, j] for j in range(len(x)) if j != i)[k - 1] for i in range(len(x))]

    across, n, m = squared(real, fake), len(real), len(fake)
    reach, reach_fake, reach_density = radii(real, k), radii(fake, k), radii(real, k_density)
    return (
        sum(any(across[i, j] <= reach[i] for i in range(n)) for j in range(m)) / m,
        sum(any(across[i, j] <= reach_fake[j] for j in range(m)) for i in range(n)) / n,
        sum(across[i, j] <= reach_density[i] for i in range(n) for j in range(m)) / (k_density * m),
        sum(any(across[i, j] <= reach_density[i] for j in range(m)) for i in range(n)) / n,
    )


SETS = {"n": st.integers(6, 30), "m": st.integers(6, 30), "k": st.integers(1, 3), "k_density": st.integers(1, 5)}


@settings(max_examples=40, deadline=None)
@given(**SETS, seed=st.integers(0, 10_000))
def test_against_loops(n: int, m: int, k: int, k_density: int, seed: int) -> None:
    real, fake = normal(n, 3, seed), normal(m, 3, seed + 1) * 1.3 + 0.4
    result = neighbour_metrics(real, fake, k, k_density)
    assert all_four(result) == pytest.approx(by_loops(real.numpy(), fake.numpy(), k, k_density))
    assert (result.k, result.k_density, result.n_real, result.n_fake) == (k, k_density, n, m)


@settings(max_examples=60, deadline=None)
@given(**SETS, d=st.integers(1, 4), rows=st.sampled_from([1, 4, 1000]), seed=st.integers(0, 10_000))
def test_ties_and_repeats(n: int, m: int, k: int, k_density: int, d: int, rows: int, seed: int) -> None:
    """On a small grid far from the origin most distances tie and many images repeat: all as in exact arithmetic."""
    real = torch.randint(0, 4, (n, d), generator=seeded(seed))
    fake = torch.randint(0, 5, (m, d), generator=seeded(seed + 1))
    offset = torch.tensor([1000.0, 0.1, 7.3, -80.0])[:d].double()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(neighbours, "ROWS", rows)
        result = neighbour_metrics(real * 0.5 + offset, fake * 0.5 + offset, k, k_density)
    assert all_four(result) == pytest.approx(by_loops(real.numpy(), fake.numpy(), k, k_density))


def test_precision_recall_of_repeated_images() -> None:
    """A set covers itself also where it repeats images and its balls have radius zero, far from the origin too."""
    x = (normal(400, 64, 2) + 5).repeat_interleave(7, 0)
    shuffled = x[torch.randperm(len(x), generator=seeded())]
    assert precision_recall(x, shuffled, k=3) == (1.0, 1.0)
    # distances by way of a matrix product differ in the last digits between batches, and zero is no longer zero
    assert precision_recall(x, shuffled[:1003], k=3)[0] == 1
    assert precision_recall(x, shuffled[:1501], k=3)[0] == 1
    # each fake lies in the balls of its own seven copies, whose fifth neighbours are copies
    result = neighbour_metrics(x, shuffled)
    assert (result.density, result.coverage) == pytest.approx((7 / 5, 1.0))


def test_a_set_against_itself() -> None:
    """Each image lies in its own ball, and on the boundary of those whose k-th neighbour it is."""
    x = normal(1500, 256, 3).float() * 3 + 10
    result = neighbour_metrics(x, x[torch.randperm(1500, generator=seeded())])
    assert all_four(result) == pytest.approx((1, 1, 6 / 5, 1), rel=1e-12)


def test_common_offset() -> None:
    """Distances do not depend on the origin."""
    x, y = normal(200, 8, 5), normal(200, 8, 6) * 1.1
    assert neighbour_metrics(x + 1e7, y + 1e7) == neighbour_metrics(x, y)


def test_near_is_not_inside() -> None:
    """Balls of radius zero hold copies, and not what differs from them by 1e-5 of its norm."""
    x = normal(50, 64, 4).repeat_interleave(6, 0)
    assert precision_recall(x, x * (1 + 1e-5), k=3) == (0.0, 0.0)


def test_thinned(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of more than MOST images every (N / MOST)-th is taken, first and last included."""
    x, y = normal(41, 3, 0), normal(17, 3, 1)
    monkeypatch.setattr(neighbours, "MOST", 11)
    result = neighbour_metrics(x, y)
    assert (result.n_real, result.n_fake) == (11, 11)
    chosen = [0, 1, 3, 4, 6, 8, 9, 11, 12, 14, 16]
    assert result == neighbour_metrics(x[::4], y[chosen])


def test_names_say_k() -> None:
    x, y = normal(41, 3, 0), normal(17, 3, 1)
    result = neighbour_metrics(x, y)
    assert list(result.named()) == ["precision_k3", "recall_k3", "density_k5", "coverage_k5"]
    assert tuple(result.named().values()) == all_four(result)


def test_refusals() -> None:
    with pytest.raises(TooFewSamples, match="more than 5 images a set; given 5 and 9"):
        neighbour_metrics(normal(5, 2, 0), normal(9, 2, 1))
    with pytest.raises(ConfigError, match="k >= 1; given k=0"):
        neighbour_metrics(normal(9, 2, 0), normal(9, 2, 1), k=0)
    with pytest.raises(DataError, match="one feature space"):
        neighbour_metrics(normal(9, 2, 0), normal(9, 3, 1))
    with pytest.raises(DataError, match="not finite"):
        neighbour_metrics(normal(9, 2, 0), normal(9, 2, 1) / 0)
