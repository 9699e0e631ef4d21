"""Kernel distance between two sets of features: the second half of KID (Binkowski et al., ICLR 2018)."""

from __future__ import annotations

import torch
from torch import Tensor

from clel.metrics.moments import TooFewSamples
from clel.metrics.streams import refuse_other_widths

ROWS = 1000
"""Rows, and columns, of a kernel matrix that are held at a time."""
CALLS = 2 * 10**6
"""Multiplications in the time that a sum takes however few images it has."""


def kernel_distance(
    real: Tensor, fake: Tensor, generator: torch.Generator, subset: int = 1000, subsets: int = 100
) -> tuple[float, float]:
    """MMD^2 with the kernel k(x, y) = (x.y / D + 1)^3, unbiased, over random subsets, float64.

    Of subsets X, Y of m images each (Gretton et al. 2012, with all pairs across):
        sum_{i != j} (k(x_i, x_j) + k(y_i, y_j)) / (m (m - 1)) - 2 sum_{i, j} k(x_i, y_j) / m^2
    Unbiased, so it may fall below 0.

    Where that takes less time, k of each pair of images is computed once, and the sums of a subset are
    a^T K b: a and b are 1 where it has an image, and 0 elsewhere.

    Args:
        real, fake: features [N, D], [M, D] of any float type; some rows at a time are converted.
        generator: draws the subsets, without replacement.
        subset: images of each set in a subset; the smaller of the sets where that has fewer.

    Returns:
        mean, and standard deviation (divided by `subsets`) over the subsets.

    Raises:
        TooFewSamples: a set of fewer than two images.
        DataError: features of differing D.
    """
    refuse_other_widths(real, fake)
    size = min(subset, len(real), len(fake))
    if size < 2:
        raise TooFewSamples(f"a kernel distance takes at least 2 images a set; given {len(real)} and {len(fake)}")

    def draw(images: int) -> Tensor:
        # a copy: a part of a permutation would keep all of it
        return torch.randperm(images, generator=generator, device=generator.device)[:size].to(real.device, copy=True)

    drawn = [(draw(len(real)), draw(len(fake))) for _ in range(subsets)]
    # multiplications: of features for each pair, and then of each pair for every subset
    at_once = (len(real) ** 2 + len(fake) ** 2 + len(real) * len(fake)) * (real.shape[1] + subsets)
    if at_once <= 3 * subsets * (size**2 * real.shape[1] + CALLS):
        in_real, in_fake = (_membership([x for x, _ in drawn], real), _membership([y for _, y in drawn], fake))
        result = _mmd(real, fake, in_real, in_fake, size)
    else:
        every = torch.ones(size, 1, dtype=torch.float64, device=real.device)
        result = torch.cat([_mmd(real[x], fake[y], every, every, size) for x, y in drawn])
    return float(result.mean()), float(result.std(correction=0))


def _mmd(x: Tensor, y: Tensor, in_x: Tensor, in_y: Tensor, size: int) -> Tensor:
    """MMD^2 of S subsets of `size` images, [S]; in_x [N, S] and in_y [M, S] are 1 where a subset has the image."""
    within = _sum_of_pairs(x, in_x) + _sum_of_pairs(y, in_y)
    return within / (size * (size - 1)) - 2 * _sum(x, y, in_x, in_y) / size**2


def _kernel(products: Tensor, dimension: int) -> Tensor:
    return (products / dimension + 1) ** 3


def _sum(x: Tensor, y: Tensor, in_x: Tensor, in_y: Tensor) -> Tensor:
    """sum_{i, j} a_i k(x_i, y_j) b_j of each subset, [S]."""
    total = torch.zeros(in_x.shape[1], dtype=torch.float64, device=x.device)
    for rows, of_rows in zip(x.split(ROWS), in_x.split(ROWS), strict=True):
        for columns, of_columns in zip(y.split(ROWS), in_y.split(ROWS), strict=True):
            kernel = _kernel(rows.double() @ columns.double().T, x.shape[1])
            total += (of_rows * (kernel @ of_columns)).sum(0)
    return total


def _sum_of_pairs(x: Tensor, in_x: Tensor) -> Tensor:
    """sum_{i != j} a_i k(x_i, x_j) a_j of each subset, [S]."""
    alone = torch.cat([_kernel(rows.double().square().sum(1), x.shape[1]) for rows in x.split(ROWS)])
    return _sum(x, x, in_x, in_x) - alone @ in_x


def _membership(chosen: list[Tensor], features: Tensor) -> Tensor:
    """[N, S], 1 where the subset has the image and 0 elsewhere."""
    columns = torch.zeros(len(features), len(chosen), dtype=torch.float64, device=features.device)
    return columns.scatter_(0, torch.stack(chosen, 1), 1)


__all__ = ["kernel_distance"]
