"""The Frechet distance against closed forms, scipy's matrix square root, and the nuclear norm where S is singular."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import scipy.linalg
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from clel.data import DataError
from clel.metrics import Gaussian, Moments, SingularCovariance, TooFewSamples, frechet_distance
from tests.clel.random_features import covariance, normal


def gaussian(d: int, seed: int) -> Gaussian:
    return Gaussian.of(normal(1, d, seed + 1)[0], covariance(d, seed))


@settings(max_examples=20, deadline=None)
@given(d=st.integers(1, 12), seed=st.integers(0, 10_000))
def test_closed_forms(d: int, seed: int) -> None:
    g = gaussian(d, seed)
    mean, s = g.mean, g.covariance
    scale = max(1.0, float(s.trace()))
    # equal Gaussians
    assert frechet_distance(g, g) == pytest.approx(0, abs=1e-10 * scale)
    # a shifted mean
    shift = normal(1, d, seed + 2)[0]
    expected = float(shift.square().sum())
    assert frechet_distance(g, Gaussian.of(mean + shift, s)) == pytest.approx(expected, rel=1e-9, abs=1e-10 * scale)
    # a scaled variable: (c - 1)^2 tr S
    c = 1.7
    assert frechet_distance(g, Gaussian.of(mean, c * c * s)) == pytest.approx((c - 1) ** 2 * float(s.trace()), rel=1e-9)
    # commuting covariances: the sum of squared differences of standard deviations, in a rotated basis
    q, _ = torch.linalg.qr(normal(d, d, seed + 3))
    a, b = normal(2, d, seed + 4).abs() + 0.1
    first, second = (Gaussian.of(mean, (q * x.square()) @ q.T) for x in (a, b))
    expected = sum((float(x) - float(y)) ** 2 for x, y in zip(a, b, strict=True))
    assert frechet_distance(first, second) == pytest.approx(expected, rel=1e-8, abs=1e-10)


def by_root(first: Gaussian, second: Gaussian, offset: float = 0.0) -> float:
    """Heusel et al.'s form: |m1 - m2|^2 + tr(S1 + S2 - 2 (S1 S2)^1/2), by scipy's general matrix square root.

    With an offset e the root is of (S1 + e I)(S2 + e I), and the rest as it was: what pytorch-fid falls back on.
    """
    s1, s2 = first.covariance.numpy(), second.covariance.numpy()
    e = offset * np.eye(len(s1))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scipy's, of singular matrices
        root = scipy.linalg.sqrtm((s1 + e) @ (s2 + e)).real
    difference = (first.mean - second.mean).numpy()
    return float(difference @ difference + np.trace(s1 + s2 - 2 * root))


@settings(max_examples=15, deadline=None)
@given(d=st.integers(1, 20), seed=st.integers(0, 10_000))
def test_against_sqrtm(d: int, seed: int) -> None:
    first, second = gaussian(d, seed), gaussian(d, seed + 7)
    value = frechet_distance(first, second)
    assert value == pytest.approx(by_root(first, second), rel=1e-8)
    assert frechet_distance(second, first) == pytest.approx(value, rel=1e-10)


# singular covariances


def by_nuclear_norm(x: Tensor, y: Tensor) -> float:
    """Exact for features [N, D], [M, D] also where N, M <= D: the trace is the nuclear norm of A B^T, A and B being the
    deviations from the means over the roots of N - 1 and M - 1."""
    a, b = ((f - f.mean(0)) / (len(f) - 1) ** 0.5 for f in (x, y))
    cross = torch.linalg.matrix_norm(a @ b.T, "nuc")
    return float((x.mean(0) - y.mean(0)).square().sum() + a.square().sum() + b.square().sum() - 2 * cross)


SIZES = [(8, 8), (4, 48), (48, 4), (2, 3)]


@pytest.mark.parametrize(("n", "m"), SIZES)
@pytest.mark.parametrize("constant", [0, 3])
def test_singular(n: int, m: int, constant: int) -> None:
    """Exact to 1e-12, and within 1e-6 of the square root that clean-fid takes, which is accurate to as much."""
    x, y = normal(n, 16, 0), normal(m, 16, 1) * 1.2 + 0.1
    x[:, :constant] = y[:, :constant] = 5
    first, second = Moments.of(x).gaussian, Moments.of(y).gaussian
    with pytest.warns(SingularCovariance):
        value = frechet_distance(first, second, force=True)
    assert value == pytest.approx(by_nuclear_norm(x, y), rel=1e-12)
    assert value == pytest.approx(by_root(first, second), rel=1e-6)


@pytest.mark.parametrize(("n", "m"), SIZES)
def test_singular_where_pytorch_fid_adds_an_offset(n: int, m: int) -> None:
    """The distance is the limit of that value, which lies below, by less than a root of the offset a dimension."""
    e, d = 1e-6, 16
    x, y = normal(n, d, 0), normal(m, d, 1) * 1.2 + 0.1
    first, second = Moments.of(x).gaussian, Moments.of(y).gaussian
    with pytest.warns(SingularCovariance):
        value = frechet_distance(first, second, force=True)
    theirs = by_root(first, second, offset=e)
    assert value - 4 * d * e**0.5 < theirs < value
    # and between the Gaussians with that offset it is theirs, whose traces leave it out
    eye = e * torch.eye(d, dtype=torch.float64)
    moved = [Gaussian.of(g.mean, g.covariance + eye) for g in (first, second)]
    assert frechet_distance(*moved) - 2 * d * e == pytest.approx(theirs, rel=1e-8)


def test_point_and_line() -> None:
    zero, mean = torch.zeros(3, 3), torch.tensor([1.0, 2.0, 2.0])
    point, origin = Gaussian.of(mean, zero), Gaussian.of(torch.zeros(3), zero)
    assert frechet_distance(point, origin) == pytest.approx(9)
    line = Gaussian.of(mean, torch.diag(torch.tensor([4.0, 0.0, 0.0])))
    with pytest.warns(SingularCovariance, match="an unknown number of images has rank 0 in 1 dim"):
        assert frechet_distance(point, line) == pytest.approx(4)
    with pytest.warns(SingularCovariance):
        assert frechet_distance(line, point) == pytest.approx(4)


def test_warning_of_singular() -> None:
    x, y = normal(40, 6, 0), normal(40, 6, 1)
    x[:, 0] = x[:, 1] + x[:, 2]
    with pytest.warns(SingularCovariance, match="from 40 images has rank 5 in 6 dimensions") as caught:
        frechet_distance(Moments.of(x), Moments.of(y))
    assert caught[0].filename == __file__
    # the number of images unknown, the rank betrays that they were few
    few = Moments.of(normal(5, 6, 2))
    with pytest.warns(SingularCovariance, match="unknown number of images has rank 4 in 6"):
        frechet_distance(Gaussian.of(few.mean, few.covariance), Moments.of(y))
    # features that vary in neither set are no defect
    x, y = normal(40, 6, 0), normal(40, 6, 1)
    x[:, 3] = y[:, 3] = 0.1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        value = frechet_distance(Moments.of(x), Moments.of(y))
        kept = [0, 1, 2, 4, 5]
        assert value == pytest.approx(frechet_distance(Moments.of(x[:, kept]), Moments.of(y[:, kept])), rel=1e-12)


# what is refused


@pytest.mark.parametrize("n", [2, 4, 5])
def test_too_few_images(n: int) -> None:
    few, enough = Moments.of(normal(n, 5, 0)), Moments.of(normal(6, 5, 1))
    for pair in ((few, enough), (enough, few)):
        with pytest.raises(TooFewSamples, match=rf"{n} images are too few .* 5-dimensional .*KID"):
            frechet_distance(*pair)
    with pytest.warns(SingularCovariance):
        assert frechet_distance(few, enough, force=True) > 0
    assert frechet_distance(enough, Moments.of(normal(6, 5, 2))) > 0


def test_two_feature_spaces() -> None:
    with pytest.raises(DataError, match="means of 3 and of 4 features"):
        frechet_distance(gaussian(3, 0), gaussian(4, 0))


def test_of_many_dimensions() -> None:
    """Decaying variances as of Inception's features, in 1024 dimensions: a scaled variable's distance is known."""
    d = 1024
    v = torch.nn.functional.normalize(normal(1, d, 0)[0], dim=0)
    reflection = torch.eye(d, dtype=torch.float64) - 2 * torch.outer(v, v)
    s = (reflection * torch.logspace(0, -7, d, dtype=torch.float64)) @ reflection
    s = (s + s.T) / 2
    first, second = Gaussian.of(torch.zeros(d), s), Gaussian.of(torch.zeros(d), 1.21 * s)
    assert frechet_distance(first, second) == pytest.approx(0.01 * float(s.trace()), rel=1e-9)
