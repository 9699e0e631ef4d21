"""NT-Xent against a double loop over the definition."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from clel.methods.clel import nt_xent


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    return float((a * b).sum() / math.sqrt((a * a).sum() * (b * b).sum()))


def by_loops(first: Tensor, second: Tensor, temperature: float, negatives: Tensor | None = None) -> float:
    """The mean over the 2n views of -log of the positive's share, term by term."""
    n = len(first)
    views = [*first.numpy(), *second.numpy()]
    others = [] if negatives is None else list(negatives.numpy())
    total = 0.0
    for i, view in enumerate(views):
        partner = i + n if i < n else i - n
        denominator = 0.0
        for j, other in enumerate(views):
            if j != i:
                denominator += math.exp(cosine(view, other) / temperature)
        for other in others:
            denominator += math.exp(cosine(view, other) / temperature)
        total -= math.log(math.exp(cosine(view, views[partner]) / temperature) / denominator)
    return total / (2 * n)


def latents(n: int, d: int, seed: int) -> Tensor:
    return torch.randn(n, d, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@settings(max_examples=25, deadline=None)
@given(
    n=st.integers(1, 5),
    m=st.integers(0, 4),
    d=st.integers(2, 6),
    temperature=st.floats(0.05, 2.0),
    seed=st.integers(0, 2**31),
)
def test_against_loops(n: int, m: int, d: int, temperature: float, seed: int) -> None:
    first, second = latents(n, d, seed), latents(n, d, seed + 1)
    negatives = latents(m, d, seed + 2) if m else None
    expected = by_loops(first, second, temperature, negatives)
    assert float(nt_xent(first, second, temperature, negatives)) == pytest.approx(expected, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize(("n", "m"), [(1, 0), (4, 0), (4, 3), (2, 9)])
def test_equal_latents(n: int, m: int) -> None:
    """All similarities are the same: log of the number of keys, 2n - 1 + m."""
    z = torch.ones(n, 3, dtype=torch.float64)
    negatives = torch.ones(m, 3, dtype=torch.float64) if m else None
    assert float(nt_xent(z, z, 0.2, negatives)) == pytest.approx(math.log(2 * n - 1 + m), abs=1e-12)


def test_only_directions_matter() -> None:
    a, b, k = latents(4, 5, 0), latents(4, 5, 1), latents(3, 5, 2)
    scales = torch.tensor([[0.1], [2.0], [30.0], [1.0]], dtype=torch.float64)
    torch.testing.assert_close(nt_xent(a * scales, b, 0.2, 9 * k), nt_xent(a, b, 0.2, k), rtol=1e-12, atol=0)


def test_symmetric_in_the_views() -> None:
    a, b, k = latents(4, 5, 0), latents(4, 5, 1), latents(3, 5, 2)
    torch.testing.assert_close(nt_xent(a, b, 0.2, k), nt_xent(b, a, 0.2, k), rtol=1e-12, atol=0)
