"""The Frechet term at the dimension of Inception's features, which is to take less than 10 s on two cores."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from clel.metrics.frechet import frechet_distance
from clel.metrics.moments import Gaussian, Moments

D, N = 2048, 4096
Timed = Callable[[Callable[[], object], float], None]
pytestmark = pytest.mark.cpu


def moments(seed: int) -> Moments:
    """Of N correlated features in D dimensions."""
    generator = torch.Generator().manual_seed(seed)
    mix = torch.randn(D, D, generator=generator) / D**0.5
    return Moments.of(torch.randn(N, D, generator=generator) @ mix)


def test_frechet_term(timed: Timed) -> None:
    """Of samples against a reference that is held with its root, as every evaluation but a reference's first has it."""
    real, fake = moments(0).gaussian, moments(1)
    _ = real.root

    def term() -> float:
        # a Gaussian keeps its root: each round needs one of its own
        return frechet_distance(real, Gaussian.of(fake.mean, fake.covariance, fake.n))

    timed(term, 10.0)


def test_root_of_the_reference(timed: Timed) -> None:
    """What the first evaluation takes besides."""
    real = moments(0)
    timed(lambda: Gaussian.of(real.mean, real.covariance, real.n).root, 5.0)


def test_moments(timed: Timed) -> None:
    """Mean and covariance of N features as they come."""
    features = torch.randn(N, D, generator=torch.Generator().manual_seed(0))
    timed(lambda: Moments.of(features), 1.0)
