"""The Frechet distance for infinitely many fakes (Chong & Forsyth, CVPR 2020: FID-infinity)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from clel.config import require
from clel.metrics.frechet import frechet_distance, refuse_few
from clel.metrics.moments import Gaussian, Moments, RunningMoments
from clel.metrics.streams import segments


@dataclass(frozen=True)
class Extrapolation:
    """The line d^2(N) = value + slope / N, and the points (sizes N, distances d^2) that it was fitted to."""

    value: float
    slope: float
    sizes: tuple[int, ...]
    distances: tuple[float, ...]


def frechet_infinity(
    real: Moments | Gaussian, fakes: Iterable[Tensor], n: int, least: int = 5000, points: int = 15
) -> Extrapolation:
    """The distance at 1/N = 0 of the least-squares line in 1/N through the distances of the first N fakes.

    The sizes N are `points` numbers evenly spaced from `least` to n, both included, rounded down. The authors shuffle
    the fakes before each size; here all sizes are prefixes of one stream, so that one pass with one scatter matrix will
    do, and the fakes must come in random order. The bias from the finite number of real images stays.

    Args:
        fakes: stream of features [N_i, D], n in all.

    Raises:
        TooFewSamples: least <= D.
        ConfigError: fewer than two points, or least >= n.
        DataError: the stream is not of n images, or what `frechet_distance` refuses.
    """
    require(points >= 2 and least < n, f"a line takes two points, and least < n; given {points=}, {least=}, {n=}")
    real = real.gaussian if isinstance(real, Moments) else real
    refuse_few(least, len(real.mean))
    sizes = torch.linspace(least, n, points, dtype=torch.float64).long().unique().tolist()
    running, distances = RunningMoments(), []
    for i, rows in segments(fakes, sizes):
        running.add(rows)
        if running.n == sizes[i]:
            distances.append(frechet_distance(real, running.moments()))
    value, slope = _line(1 / torch.tensor(sizes, dtype=torch.float64), torch.tensor(distances, dtype=torch.float64))
    return Extrapolation(value, slope, tuple(sizes), tuple(distances))


def _line(x: Tensor, y: Tensor) -> tuple[float, float]:
    """Intercept and slope of the least-squares line through the points (x, y)."""
    deviation = x - x.mean()
    slope = (deviation * y).sum() / deviation.square().sum()
    return float(y.mean() - slope * x.mean()), float(slope)


__all__ = ["Extrapolation", "frechet_infinity"]
