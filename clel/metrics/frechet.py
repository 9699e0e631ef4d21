"""Distances between two sets of features: Frechet (FID's second half) and kernel (KID's).

Frechet distance between Gaussians (mu_1, S_1), (mu_2, S_2) (Dowson & Landau 1982; Heusel et al. 2017):
    d^2 = |mu_1 - mu_2|^2 + tr S_1 + tr S_2 - 2 tr (S_1^1/2 S_2 S_1^1/2)^1/2
"""

from __future__ import annotations

import torch
from torch import Tensor


class TooFewSamples(ValueError):
    """Too few images for the metric that was asked for."""


def moments(features: Tensor) -> tuple[Tensor, Tensor]:
    """Mean [D] and unbiased covariance [D, D] of features [N, D], in float64.

    Raises:
        TooFewSamples: N <= D, where the covariance is singular and the distance means little.
    """
    n, d = features.shape
    if n <= d:
        raise TooFewSamples(
            f"{n} images are too few for a Frechet distance in a {d}-dimensional feature space: "
            f"take more than {d}, or read the kernel distance (KID) instead"
        )
    features = features.double()
    mean = features.mean(0)
    centred = features - mean
    return mean, centred.T @ centred / (n - 1)


def frechet_distance(first: tuple[Tensor, Tensor], second: tuple[Tensor, Tensor]) -> float:
    """d^2 between two (mean, covariance) pairs, in float64 by eigendecompositions of symmetric matrices.

    The trace of the square root needs S_1^1/2 (one eigendecomposition) and the eigenvalues of the symmetric
    S_1^1/2 S_2 S_1^1/2; rounding may make these slightly negative, and such count as 0.
    """
    (mean_1, s_1), (mean_2, s_2) = [(m.double(), s.double()) for m, s in (first, second)]
    values, vectors = torch.linalg.eigh(s_1)
    root = (vectors * values.clamp(min=0).sqrt()) @ vectors.T
    product = root @ s_2 @ root
    cross = torch.linalg.eigvalsh((product + product.T) / 2).clamp(min=0).sqrt().sum()
    return float((mean_1 - mean_2).square().sum() + s_1.trace() + s_2.trace() - 2 * cross)


def kernel_distance(
    real: Tensor, fake: Tensor, generator: torch.Generator, subset: int = 1000, subsets: int = 100
) -> tuple[float, float]:
    """KID (Binkowski et al. 2018): unbiased MMD^2 with the kernel (x.y / D + 1)^3 over random subsets, float64.

    Args:
        real, fake: features [N, D], [M, D].
        generator: draws the subsets, without replacement.
        subset: images of each set in a subset; the smaller of the sets where that has fewer.

    Returns:
        mean and standard deviation over the subsets.

    Raises:
        TooFewSamples: a set of fewer than two images.
    """
    size = min(subset, len(real), len(fake))
    if size < 2:
        raise TooFewSamples(f"a kernel distance takes at least 2 images a set; given {len(real)} and {len(fake)}")
    values = []
    for _ in range(subsets):
        x, y = (_subset(f.double(), size, generator) for f in (real, fake))
        k_xx, k_yy, k_xy = _kernel(x, x), _kernel(y, y), _kernel(x, y)
        within = k_xx.sum() - k_xx.trace() + k_yy.sum() - k_yy.trace()
        values.append(within / (size * (size - 1)) - 2 * k_xy.mean())
    result = torch.stack(values)
    return float(result.mean()), float(result.std(correction=0))


def _kernel(x: Tensor, y: Tensor) -> Tensor:
    return (x @ y.T / x.shape[1] + 1) ** 3


def _subset(features: Tensor, size: int, generator: torch.Generator) -> Tensor:
    chosen = torch.randperm(len(features), generator=generator, device=generator.device)[:size]
    return features[chosen.to(features.device)]
