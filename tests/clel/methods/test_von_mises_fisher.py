"""Draws from von Mises-Fisher against its density and its mean length."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from scipy import special, stats
from torch import Tensor

from clel.methods.von_mises_fisher import draw_latents


def towards(n: int, d: int, kappa: float, seed: int = 0) -> Tensor:
    """u.z of n draws around as many directions."""
    generator = torch.Generator().manual_seed(seed)
    u = F.normalize(torch.randn(n, d, dtype=torch.float64, generator=generator), dim=1)
    z = draw_latents(u, kappa, generator)
    torch.testing.assert_close(z.norm(dim=1), torch.ones(n, dtype=torch.float64))
    return (u * z).sum(1)


@pytest.mark.parametrize("d", [2, 3, 64])
@pytest.mark.parametrize("kappa", [0.0, 0.01, 3.0, 50.0])
def test_mean_length(d: int, kappa: float) -> None:
    """E u.z = I_{d/2}(kappa) / I_{d/2-1}(kappa), here within five standard errors."""
    w = towards(20_000, d, kappa)
    expected = special.ive(d / 2, kappa) / special.ive(d / 2 - 1, kappa) if kappa else 0.0
    assert abs(float(w.mean()) - expected) < 5 * float(w.std()) / 20_000**0.5


@pytest.mark.parametrize("kappa", [0.0, 2.0, 20.0])
def test_density_in_three_dimensions(kappa: float) -> None:
    """There w = u.z has the density kappa exp(kappa w) / (2 sinh kappa), uniform at 0."""
    law = stats.truncexpon(2 * kappa, loc=-1, scale=1 / kappa) if kappa else stats.uniform(-1, 2)  # of -w
    w = towards(5000, 3, kappa, seed=1).numpy()
    assert stats.kstest(-w, law.cdf).pvalue > 1e-3


def test_no_direction_across_is_preferred() -> None:
    """What is left of z across u is uniform there: its mean vanishes, its covariance is that of a sphere's."""
    n, d = 40_000, 4
    u = torch.zeros(n, d, dtype=torch.float64)
    u[:, 0] = 1
    across = F.normalize(draw_latents(u, 5.0, torch.Generator().manual_seed(2))[:, 1:], dim=1)
    assert float(across.mean(0).abs().max()) < 5 / n**0.5
    torch.testing.assert_close(across.T @ across / n, torch.eye(3, dtype=torch.float64) / 3, atol=0.02, rtol=0)


def test_a_function_of_the_generator() -> None:
    assert torch.equal(towards(5, 3, 1.0), towards(5, 3, 1.0))
    assert not torch.equal(towards(5, 3, 1.0), towards(5, 3, 1.0, seed=1))
