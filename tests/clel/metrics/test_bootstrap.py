"""The bootstrap of a Frechet distance against the variance that theory gives, and against new draws."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch
from torch import Tensor

from clel.config import ConfigError
from clel.metrics import Bootstrap, Gaussian, Moments, TooFewSamples, bootstrap_frechet, frechet_distance
from tests.clel.random_features import normal, seeded

D, N = 3, 300
STANDARD = Gaussian.of(torch.zeros(D), torch.eye(D))
SHIFT, SCALE = 0.4, 1.3


def fakes(seed: int) -> Tensor:
    return normal(N, D, seed) * SCALE + SHIFT


def passes(features: Tensor, chunk: int = N) -> Callable[[], Iterator[Tensor]]:
    return lambda: iter(features.split(chunk))


@pytest.fixture(scope="module")
def draws() -> np.ndarray:
    """d^2 of 2000 draws of N fakes."""
    return np.array([frechet_distance(STANDARD, Moments.of(fakes(10_000 + i))) for i in range(2000)])


@pytest.fixture(scope="module")
def bootstraps() -> list[Bootstrap]:
    return [bootstrap_frechet(STANDARD, passes(fakes(i)), seeded(i), replicates=50, together=50) for i in range(60)]


def test_standard_error(draws: np.ndarray, bootstraps: list[Bootstrap]) -> None:
    """Of fakes N(m, s^2 I) against N(0, I), |m|^2 = D m_1^2: with z standard normal, d^2 changes with an image by
    2 s m.z + (1 - 1/s) s^2 (|z|^2 - D), whose variance is 4 s^2 |m|^2 + 2 D s^2 (s - 1)^2, to first order in 1/n."""
    variance = 4 * SCALE**2 * D * SHIFT**2 + 2 * D * SCALE**2 * (SCALE - 1) ** 2
    theory = (variance / N) ** 0.5
    assert draws.std() == pytest.approx(theory, rel=0.06)
    assert np.mean([b.standard_error for b in bootstraps]) == pytest.approx(theory, rel=0.1)


def test_interval_covers_what_is_expected_at_n(draws: np.ndarray, bootstraps: list[Bootstrap]) -> None:
    expected = draws.mean()
    covered = sum(b.low <= expected <= b.high for b in bootstraps) / len(bootstraps)
    assert 0.85 <= covered <= 1
    b = bootstraps[0]
    assert (b.high - b.estimate, b.estimate - b.low) == pytest.approx((1.95996 * b.standard_error,) * 2, rel=1e-5)


def test_bias(draws: np.ndarray, bootstraps: list[Bootstrap]) -> None:
    """Replicates lie above the estimate by what the estimate, on average, lies above d^2 of the distributions."""
    true = D * SHIFT**2 + D * (SCALE - 1) ** 2
    bias = draws.mean() - true
    assert bias > 0
    assert np.mean([b.bias for b in bootstraps]) == pytest.approx(bias, rel=0.3)


def test_is_about_each_image_once() -> None:
    x = fakes(0)
    result = bootstrap_frechet(STANDARD, passes(x), seeded(), replicates=5)
    assert result.estimate == frechet_distance(STANDARD, Moments.of(x))
    assert result.standard_error == pytest.approx(np.std(result.replicates, ddof=1))
    assert result.bias == pytest.approx(np.mean(result.replicates) - result.estimate)


def test_streamed() -> None:
    """Neither the size of chunks nor how many replicates share a pass matters; the generator does."""
    x = fakes(1)
    first = bootstrap_frechet(STANDARD, passes(x), seeded(), replicates=7, together=1)
    for chunk, together in ((1, 7), (64, 3), (299, 4)):
        other = bootstrap_frechet(STANDARD, passes(x, chunk), seeded(), replicates=7, together=together)
        assert other.replicates == pytest.approx(first.replicates, rel=1e-10)
    assert len(set(first.replicates)) == 7
    assert bootstrap_frechet(STANDARD, passes(x), seeded(1), replicates=7).replicates != first.replicates


def test_number_of_passes() -> None:
    count = []

    def counted() -> list[Tensor]:
        count.append(1)
        return [fakes(2)]

    bootstrap_frechet(Moments.of(normal(50, D, 0)), counted, seeded(), replicates=10, together=4)
    assert len(count) == 1 + 3


def test_refusals() -> None:
    """Of 12 images a replicate holds about 7 different ones."""
    x = normal(12, 7, 0)
    real = Gaussian.of(torch.zeros(7), torch.eye(7))
    with pytest.raises(TooFewSamples, match=r"7 images are too few .* 7-dimensional"):
        bootstrap_frechet(real, passes(x), seeded())
    with pytest.raises(ConfigError, match="replicates >= 2"):
        bootstrap_frechet(STANDARD, passes(x), seeded(), replicates=1)
