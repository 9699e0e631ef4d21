"""Precision and recall by nearest neighbours (Kynkaanniemi et al., NeurIPS 2019)."""

from __future__ import annotations

import torch
from torch import Tensor

from clel.metrics.frechet import TooFewSamples

MOST = 10_000
"""Images a set at most: time and memory grow with their product."""


def precision_recall(real: Tensor, fake: Tensor, k: int = 3) -> tuple[float, float]:
    """Share of fakes inside the real images' manifold, and of real images inside the fakes'.

    A set's manifold is the union of balls around its features [N, D], each reaching to the k-th nearest other feature.
    Of more than MOST images every (N / MOST)-th is taken, in both sets.

    Raises:
        TooFewSamples: a set of no more than k images.
    """
    if min(len(real), len(fake)) <= k:
        raise TooFewSamples(f"with k = {k} precision and recall take more than {k} images a set")
    real, fake = _thinned(real.double()), _thinned(fake.double())
    return _covered(fake, real, _radii(real, k)), _covered(real, fake, _radii(fake, k))


def _thinned(features: Tensor) -> Tensor:
    if len(features) <= MOST:
        return features
    return features[torch.linspace(0, len(features) - 1, MOST, dtype=torch.float64).long()]


def distances(x: Tensor, y: Tensor) -> Tensor:
    """|x_i - y_j| [N, M], exactly 0 for equal rows, which the usual way through a matrix product would not give."""
    return torch.cdist(x, y, compute_mode="donot_use_mm_for_euclid_dist")


def _radii(features: Tensor, k: int, chunk: int = 2000) -> Tensor:
    # the nearest of all is the feature itself, at distance 0
    return torch.cat([distances(f, features).kthvalue(k + 1).values for f in features.split(chunk)])


def _covered(queries: Tensor, centres: Tensor, radii: Tensor, chunk: int = 2000) -> float:
    inside = [(distances(q, centres) <= radii).any(1) for q in queries.split(chunk)]
    return float(torch.cat(inside).double().mean())
