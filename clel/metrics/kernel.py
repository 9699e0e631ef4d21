"""Kernel distance between two sets of features: the second half of KID (Binkowski et al., ICLR 2018)."""

from __future__ import annotations

import torch
from torch import Tensor

from clel.metrics.moments import TooFewSamples
from clel.metrics.streams import refuse_other_features

ROWS = 1000
"""Rows of a kernel matrix that are held at a time."""


def kernel_distance(
    real: Tensor, fake: Tensor, generator: torch.Generator, subset: int = 1000, subsets: int = 100
) -> tuple[float, float]:
    """MMD^2 with the kernel k(x, y) = (x.y / D + 1)^3, unbiased, over random subsets, float64.

    Of subsets X, Y of m images each (Gretton et al. 2012, with all pairs across):
        sum_{i != j} (k(x_i, x_j) + k(y_i, y_j)) / (m (m - 1)) - 2 sum_{i, j} k(x_i, y_j) / m^2
    Unbiased, so it may fall below 0.

    Args:
        real, fake: features [N, D], [M, D] of any float type; only a subset at a time is converted.
        generator: draws the subsets, without replacement.
        subset: images of each set in a subset; the smaller of the sets where that has fewer.

    Returns:
        mean, and standard deviation (divided by `subsets`) over the subsets.

    Raises:
        TooFewSamples: a set of fewer than two images.
        DataError: features of differing D.
    """
    refuse_other_features(real, fake)
    size = min(subset, len(real), len(fake))
    if size < 2:
        raise TooFewSamples(f"a kernel distance takes at least 2 images a set; given {len(real)} and {len(fake)}")
    values = []
    for _ in range(subsets):
        x, y = (_subset(features, size, generator) for features in (real, fake))
        within = _sum_of_pairs(x) + _sum_of_pairs(y)
        values.append(within / (size * (size - 1)) - 2 * _sum(x, y) / size**2)
    result = torch.stack(values)
    return float(result.mean()), float(result.std(correction=0))


def _kernel(products: Tensor, dimension: int) -> Tensor:
    return (products / dimension + 1) ** 3


def _sum(x: Tensor, y: Tensor) -> Tensor:
    """sum_{i, j} k(x_i, y_j)."""
    return torch.stack([_kernel(rows @ y.T, x.shape[1]).sum() for rows in x.split(ROWS)]).sum()


def _sum_of_pairs(x: Tensor) -> Tensor:
    """sum_{i != j} k(x_i, x_j)."""
    return _sum(x, x) - _kernel(x.square().sum(1), x.shape[1]).sum()


def _subset(features: Tensor, size: int, generator: torch.Generator) -> Tensor:
    chosen = torch.randperm(len(features), generator=generator, device=generator.device)[:size]
    return features[chosen.to(features.device)].double()


__all__ = ["kernel_distance"]
