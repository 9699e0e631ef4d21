"""Fidelity and diversity by nearest neighbours: precision and recall, density and coverage.

Kynkaanniemi et al. (NeurIPS 2019) and Naeem et al. (ICML 2020). A ball B_k(x_i) reaches from x_i to its k-th nearest
other feature of the same set, boundary included. With real x_i, i < N, and fake y_j, j < M:
    precision = share of y_j in any B_k(x_i)            recall   = share of x_i in any B_k(y_j)
    density   = sum_ij [y_j in B_k(x_i)] / (k M)        coverage = share of x_i whose B_k(x_i) holds any y_j
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from clel.config import require
from clel.data import DataError
from clel.metrics.moments import TooFewSamples
from clel.metrics.streams import refuse_other_widths

MOST = 10_000
"""Images a set at most: time grows with their product."""

ROWS = 1000
"""Rows of a matrix of distances that are held at a time."""


@dataclass(frozen=True)
class NeighbourMetrics:
    """precision, recall, coverage in [0, 1]; density >= 0, about 1 for equal distributions; the k of each pair.

    n_real, n_fake: images compared, after the cap at MOST.
    """

    precision: float
    recall: float
    density: float
    coverage: float
    k: int
    k_density: int
    n_real: int
    n_fake: int

    def named(self) -> dict[str, float]:
        """The four numbers, their names ending in their k: precision_k3, recall_k3, density_k5, coverage_k5."""
        return {
            f"precision_k{self.k}": self.precision,
            f"recall_k{self.k}": self.recall,
            f"density_k{self.k_density}": self.density,
            f"coverage_k{self.k_density}": self.coverage,
        }


def neighbour_metrics(real: Tensor, fake: Tensor, k: int = 3, k_density: int = 5) -> NeighbourMetrics:
    """Precision and recall with k neighbours, density and coverage with k_density, in one pass over the distances.

    Distances come from matrix products in float64, |x|^2 + |y|^2 - 2 x.y, whose rounding depends on where a pair falls.
    A distance therefore counts as within a radius also where their squares differ by no more than
    4 D eps (|x|^2 + |y|^2), eps = 2^-52, features being centred: a bound of that rounding (1e-12 of the squared norms
    for D = 2048). So repeated images are at distance 0 and equal distances are equal, as they should.

    Args:
        real, fake: features [N, D], [M, D] of any float type. Of more than MOST every (N / MOST)-th is taken.

    Raises:
        TooFewSamples: a set of no more than max(k, k_density) images.
        ConfigError: k < 1.
        DataError: differing D, or values that are not finite.
    """
    require(min(k, k_density) >= 1, f"balls reach to a neighbour k >= 1; given {k=}, {k_density=}")
    reals, fakes = _prepared(real, fake, max(k, k_density))
    reach, reach_density = _squared_radii(reals, (k, k_density))
    (reach_fake,) = _squared_radii(fakes, (k,))

    precise, inside = 0, 0
    recalled = torch.zeros(len(reals.features), dtype=torch.bool, device=reach.device)
    covered = recalled.clone()
    for rows, reach_rows in zip(fakes.blocks(), reach_fake.split(ROWS), strict=True):
        squared = _squared_distances(rows, reals, slack=4 * rows.shape[1] * torch.finfo(rows.dtype).eps)
        precise += int((squared <= reach).any(1).sum())
        recalled |= (squared <= reach_rows[:, None]).any(0)
        dense = squared <= reach_density
        inside += int(dense.sum())
        covered |= dense.any(0)
    n_real, n_fake = len(reals.features), len(fakes.features)
    return NeighbourMetrics(
        precision=precise / n_fake,
        recall=float(recalled.double().mean()),
        density=inside / (k_density * n_fake),
        coverage=float(covered.double().mean()),
        k=k,
        k_density=k_density,
        n_real=n_real,
        n_fake=n_fake,
    )


@dataclass(frozen=True)
class _Set:
    """Features [N, D] of any float type, N at most MOST, and the centre [D] that is taken from them, in float64."""

    features: Tensor
    centre: Tensor

    def blocks(self) -> Iterator[Tensor]:
        """Centred rows in float64, ROWS at a time: of 10,000 Inception features the whole would take 160 MB."""
        return (rows.double() - self.centre for rows in self.features.split(ROWS))


def _prepared(real: Tensor, fake: Tensor, k: int) -> tuple[_Set, _Set]:
    """Both sets checked, thinned, and centred by the mean of the real ones."""
    refuse_other_widths(real, fake)
    if min(len(real), len(fake)) <= k:
        raise TooFewSamples(
            f"with k = {k} precision, recall, density and coverage take more than {k} images a set; "
            f"given {len(real)} and {len(fake)}"
        )
    real, fake = _thinned(real), _thinned(fake)
    if not (real.isfinite().all() and fake.isfinite().all()):
        raise DataError("features hold values that are not finite, which have no neighbours")
    centre = real.mean(0, dtype=torch.float64)
    return _Set(real, centre), _Set(fake, centre)


def _thinned(features: Tensor) -> Tensor:
    if len(features) <= MOST:
        return features
    return features[torch.linspace(0, len(features) - 1, MOST, dtype=torch.float64).long().to(features.device)]


def _squared_distances(x: Tensor, others: _Set, slack: float = 0.0) -> Tensor:
    """max(|x_i - y_j|^2 - slack (|x_i|^2 + |y_j|^2), 0) [N, M] of centred x [N, D]."""
    parts = []
    for y in others.blocks():
        norms = x.square().sum(1)[:, None] + y.square().sum(1)
        parts.append(norms.mul_(1 - slack).addmm_(x, y.T, alpha=-2).clamp_(min=0))
    return torch.cat(parts, 1)


def _squared_radii(features: _Set, ks: tuple[int, ...]) -> Tensor:
    """Squared distances [len(ks), N] to the k-th nearest other feature."""
    # the nearest of all is the feature itself
    nearest = torch.cat(
        [
            _squared_distances(rows, features).topk(max(ks) + 1, largest=False, sorted=True).values
            for rows in features.blocks()
        ]
    )
    return nearest[:, list(ks)].T


__all__ = ["MOST", "NeighbourMetrics", "neighbour_metrics"]
