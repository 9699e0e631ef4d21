"""Made-up features for the tests of metrics."""

from __future__ import annotations

import torch
from torch import Tensor


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def normal(n: int, d: int, seed: int) -> Tensor:
    """Standard normal features [n, d], float64."""
    return torch.randn(n, d, dtype=torch.float64, generator=seeded(seed))


def covariance(d: int, seed: int) -> Tensor:
    """A well-conditioned covariance [d, d]."""
    a = normal(d, d, seed)
    return a @ a.T / d + 0.3 * torch.eye(d, dtype=torch.float64)
