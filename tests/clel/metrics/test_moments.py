"""Moments against numpy and exact rational arithmetic: in one pass, merged, streamed; and the Gaussians they give."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from clel.data import DataError
from clel.metrics import Gaussian, Moments, RunningMoments, TooFewSamples, moments
from clel.metrics.moments import eigen
from tests.clel.random_features import covariance, normal, seeded


def close(a: Moments, b: Moments, rtol: float = 1e-12) -> bool:
    """Relative to the largest entry: small ones are differences of large ones."""
    return a.n == b.n and all(
        float((x - y).abs().max()) <= rtol * max(float(y.abs().max()), 1e-300)
        for x, y in ((a.mean, b.mean), (a.scatter, b.scatter))
    )


def test_against_numpy() -> None:
    """float32 features count with all their digits; the covariance is unbiased."""
    x = normal(9, 4, 0).float()
    m = Moments.of(x)
    assert m.n == 9 and m.mean.dtype == m.scatter.dtype == torch.float64
    np.testing.assert_allclose(m.mean, x.double().numpy().mean(0), rtol=1e-12)
    np.testing.assert_allclose(m.covariance, np.cov(x.double().numpy(), rowvar=False), rtol=1e-12)
    np.testing.assert_allclose(m.scatter, np.cov(x.double().numpy(), rowvar=False, ddof=0) * 9, rtol=1e-12)


@settings(max_examples=50, deadline=None)
@given(sizes=st.lists(st.integers(0, 40), min_size=1, max_size=12), d=st.integers(1, 6), seed=st.integers(0, 10_000))
def test_merged_and_streamed_are_one_pass(sizes: list[int], d: int, seed: int) -> None:
    x = normal(sum(sizes) + 1, d, seed) * 3 + 1
    parts = x.split([*sizes, 1])
    whole = Moments.of(x)
    assert close(Moments.over(iter(parts)), whole)
    merged = [Moments.of(p) for p in parts if len(p)]
    total = merged[0]
    for m in merged[1:]:
        total = total + m
    assert close(total, whole)
    # merging is symmetric and associative
    backwards = merged[-1]
    for m in merged[-2::-1]:
        backwards = m + backwards
    assert close(backwards, whole)


def exact(x: list[list[int]], scale: int) -> tuple[list[float], list[list[float]]]:
    """Mean and scatter of x / scale in rational arithmetic."""
    n, d = len(x), len(x[0])
    rows = [[Fraction(v, scale) for v in row] for row in x]
    mean = [sum(row[j] for row in rows) / n for j in range(d)]
    scatter = [[float(sum((r[i] - mean[i]) * (r[j] - mean[j]) for r in rows)) for j in range(d)] for i in range(d)]
    return [float(v) for v in mean], scatter


@pytest.mark.parametrize("cut", [1, 199, 100])
def test_common_offset_costs_no_digits(cut: int) -> None:
    """Offset 2^30 and deviations below 1: of sums of squares no digit would be left; here the last of the mean is lost.

    A mean near 2^30 is known to 2^-23, and each of up to 200 merges adds that times twice a deviation below 1.5.
    """
    integers = (2**50 + torch.randint(-(2**20), 2**20, (200, 3), generator=seeded(1))).tolist()
    x = torch.tensor(integers, dtype=torch.float64) / 2**20
    mean, scatter = exact(integers, 2**20)
    for m in (Moments.of(x), Moments.of(x[:cut]) + Moments.of(x[cut:]), Moments.over(x.split(cut))):
        np.testing.assert_allclose(m.mean, mean, rtol=1e-15)
        np.testing.assert_allclose(m.scatter, scatter, rtol=0, atol=200 * 2 * 1.5 * 2**-23)
    naive = x.T @ x - 200 * torch.outer(x.mean(0), x.mean(0))
    assert float((naive - torch.tensor(scatter, dtype=torch.float64)).abs().max()) > 1


def test_many_and_unequal_merges() -> None:
    """Ten thousand single features onto a large set of another mean."""
    x = torch.cat([normal(20_000, 3, 0) + 50, normal(10_000, 3, 1)])
    whole = np.cov(x.numpy(), rowvar=False)
    running = Moments.of(x[:20_000])
    for row in x[20_000:].split(1):
        running = running + Moments.of(row)
    np.testing.assert_allclose(running.covariance, whole, rtol=1e-11)
    np.testing.assert_allclose(Moments.over([x[:20_000], *x[20_000:].split(1)]).covariance, whole, rtol=1e-11)


def test_rows_are_converted_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    x = normal(50, 3, 0)
    whole = Moments.of(x)
    monkeypatch.setattr(moments, "ROWS", 7)
    assert close(Moments.of(x), whole)


def test_running_moments_hand_out_copies() -> None:
    x = normal(30, 3, 0)
    running = RunningMoments()
    running.add(x[:10])
    first = running.moments()
    running.add(x[10:])
    assert close(first, Moments.of(x[:10])) and close(running.moments(), Moments.of(x))


def test_refusals() -> None:
    with pytest.raises(TooFewSamples, match="no features"):
        Moments.over([])
    with pytest.raises(TooFewSamples, match="no features"):
        Moments.of(torch.zeros(0, 3))
    with pytest.raises(TooFewSamples, match="at least 2 images; given 1"):
        _ = Moments.of(normal(1, 3, 0)).covariance
    with pytest.raises(DataError, match=r"features are \[N, 3\], as those before; given \[2, 4\]"):
        Moments.over([normal(2, 3, 0), normal(2, 4, 0)])
    with pytest.raises(DataError, match=r"features are \[N, D\]; given \[3\]"):
        Moments.over([normal(2, 3, 0)[0]])
    x = normal(9, 3, 0)
    x[4, 1] = torch.nan
    with pytest.raises(DataError, match="look for NaN"):
        _ = Moments.of(x).gaussian


# Gaussians


def test_gaussian_of_arrays() -> None:
    s = covariance(4, 0)
    g = Gaussian.of(np.zeros(4, dtype=np.float32), s.numpy())
    assert g.n is None and g.mean.dtype == torch.float64
    torch.testing.assert_close(g.root @ g.root.T, s, rtol=1e-12, atol=1e-12)
    m = Moments.of(normal(9, 4, 1))
    assert m.gaussian.n == 9 and torch.equal(m.gaussian.covariance, m.covariance)
    # made once, for the reference that many are compared with
    assert m.gaussian is m.gaussian and g.root is g.root


@pytest.mark.parametrize("rank", [0, 1, 3])
def test_root_of_singular(rank: int) -> None:
    q, _ = torch.linalg.qr(normal(5, 5, 0))
    s = (q[:, :rank] * torch.arange(1.0, rank + 1)) @ q[:, :rank].T
    root = Gaussian.of(torch.zeros(5), s).root
    assert root.shape == (5, rank)
    torch.testing.assert_close(root @ root.T, s, rtol=1e-12, atol=1e-12)


def test_gaussian_refusals() -> None:
    eye = torch.eye(3, dtype=torch.float64)
    with pytest.raises(DataError, match=r"mean \[D\] and a covariance \[D, D\]; given \[2\] and \[3, 3\]"):
        Gaussian.of(torch.zeros(2), eye)
    with pytest.raises(DataError, match=r"given \[1, 3\] and \[3, 3\]"):
        Gaussian.of(torch.zeros(1, 3), eye)
    with pytest.raises(DataError, match="not finite"):
        Gaussian.of(torch.full((3,), torch.inf), eye)
    with pytest.raises(DataError, match="not symmetric"):
        Gaussian.of(torch.zeros(3), eye + torch.tensor([[0, 1e-3, 0], [0, 0, 0], [0, 0, 0]]))
    with pytest.raises(DataError, match="float64"):
        Gaussian(torch.zeros(3), torch.eye(3))
    with pytest.raises(DataError, match=r"eigenvalues from -0\.01 to 1"):
        _ = Gaussian.of(torch.zeros(3), torch.diag(torch.tensor([1.0, 1.0, -0.01]))).root


def test_where_divide_and_conquer_fails_the_slower_way_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    x = torch.randn(30, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    covariance = Moments.of(x).gaussian.covariance
    values, vectors = eigen(covariance)

    def fails(matrix: torch.Tensor) -> None:
        raise torch.linalg.LinAlgError("failed to converge")

    monkeypatch.setattr(torch.linalg, "eigh", fails)
    again, others = eigen(covariance)
    assert torch.allclose(again, values) and torch.allclose(others * again @ others.T, vectors * values @ vectors.T)
