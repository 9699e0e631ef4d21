"""FID-infinity: the points and the line against numpy, and the bias that it takes away."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch import Tensor

from clel.config import ConfigError
from clel.data import DataError
from clel.metrics import Gaussian, Moments, TooFewSamples, frechet_distance, frechet_infinity
from tests.clel.random_features import normal

D = 4
STANDARD = Gaussian.of(torch.zeros(D), torch.eye(D))


@pytest.mark.parametrize("chunk", [1, 33, 500])
def test_points_and_line(chunk: int) -> None:
    """Distances of the first 20, 60, 100, 140, 181 fakes (rounded down), whatever the chunks; numpy's line in 1/N."""
    fakes = normal(181, D, 0) + 0.3
    result = frechet_infinity(STANDARD, iter(fakes.split(chunk)), n=181, least=20, points=5)
    assert result.sizes == (20, 60, 100, 140, 181)
    expected = [frechet_distance(STANDARD, Moments.of(fakes[:n])) for n in result.sizes]
    assert result.distances == pytest.approx(expected, rel=1e-10)
    slope, value = np.polyfit(1 / np.array(result.sizes), result.distances, 1)
    assert (result.value, result.slope) == pytest.approx((value, slope), rel=1e-9)


def test_takes_the_bias_away() -> None:
    """Between N(0, I) and N(0.3, I) d^2 is 0.09 D; on average the extrapolation hits it, and d^2 at n does not."""
    true, results = 0.09 * D, []
    for seed in range(40):
        fakes = normal(400, D, seed) + 0.3
        results.append(frechet_infinity(STANDARD, fakes.split(100), n=400, least=40, points=8))
    at_infinity, at_n = (np.array([r.value for r in results]), np.array([r.distances[-1] for r in results]))
    error = at_infinity.std() / 40**0.5
    assert abs(at_infinity.mean() - true) < 3 * error
    assert at_n.mean() - true > 0.02
    # the trace of the bias is D / n for the mean, and more for the covariance
    assert np.mean([r.slope for r in results]) > D


def test_one_pass_holds_little() -> None:
    """Each chunk is asked for once, after the one before."""
    asked = []

    def stream() -> Iterator[Tensor]:
        for i in range(10):
            asked.append(i)
            yield normal(20, D, i)

    frechet_infinity(Moments.of(normal(50, D, 99)), stream(), n=200, least=50, points=3)
    assert asked == list(range(10))


def test_refusals() -> None:
    fakes = normal(50, D, 0)
    with pytest.raises(TooFewSamples, match="4 images are too few"):
        frechet_infinity(STANDARD, [fakes], n=50, least=4)
    with pytest.raises(ConfigError, match="least < n; given points=15, least=5000, n=50"):
        frechet_infinity(STANDARD, [fakes], n=50)
    with pytest.raises(ConfigError, match="two points"):
        frechet_infinity(STANDARD, [fakes], n=50, least=10, points=1)
    with pytest.raises(DataError, match="ended after 50 images; 60 were announced"):
        frechet_infinity(STANDARD, [fakes], n=60, least=10)
