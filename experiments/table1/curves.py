"""Curves of a run's log and their summary over seeds: the numbers behind the figures."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Curve = tuple[Array, Array]  # abscissae, increasing, and ordinates; both empty where the log has none
POINTS = 400  # of the common abscissa on which seeds are averaged


def distance_curve(log: Sequence[Mapping[str, Any]], against: str = "seconds") -> Curve:
    """(training seconds, or another cost, Frechet distance of fresh chains) at every evaluation.

    Left out are those whose distance was no positive finite number, and those that do not say that cost.
    """
    x, y = _curve(log, "evaluation", against, "fid_fresh")
    return x[y > 0], y[y > 0]


def values_curve(log: Sequence[Mapping[str, Any]], name: str) -> Curve:
    """(iteration, value of that name) at every evaluation that has one."""
    return _curve(log, "evaluation", "iteration", name)


def gap_curve(log: Sequence[Mapping[str, Any]]) -> Curve:
    """(iteration, E(negatives) - E(positives)), a running mean over a fiftieth of the curve's length."""
    steps, positive = _curve(log, "train", "iteration", "energy_positive")
    others, negative = _curve(log, "train", "iteration", "energy_negative")
    steps, i, j = np.intersect1d(steps, others, return_indices=True)
    gap = negative[j] - positive[i]
    window = max(1, len(gap) // 50)
    if window > 1:  # at both ends over as much of the window as there is
        weights = np.ones(window)
        gap = np.convolve(gap, weights, "same") / np.convolve(np.ones(len(gap)), weights, "same")
    return steps, gap


def steps_curve(evaluations: Mapping[str, Any], source: str) -> Curve:
    """(Langevin steps, Frechet distance) after every round of an evaluation; empty where it was not made."""
    rounds = (evaluations.get(source) or {}).get("rounds") or []
    points = [(r["steps"], r["fid"]) for r in rounds if _finite(r.get("steps")) and _finite(r.get("fid"))]
    return np.array([float(p[0]) for p in points]), np.array([float(p[1]) for p in points])


def band_over_seeds(curves: Sequence[Curve], logarithmic: bool = False) -> tuple[Array, Array, Array, Array]:
    """(x, minimum, mean, maximum) over curves, where all of them are defined, on POINTS equally spaced x.

    Between its points a curve is a straight line, of its logarithm where `logarithmic`.
    """
    start, end = max(x[0] for x, _ in curves), min(x[-1] for x, _ in curves)
    common = np.linspace(start, max(start, end), POINTS)
    if logarithmic:
        values = np.stack([np.exp(np.interp(common, x, np.log(y))) for x, y in curves])
    else:
        values = np.stack([np.interp(common, x, y) for x, y in curves])
    return common, values.min(0), values.mean(0), values.max(0)


def _curve(log: Sequence[Mapping[str, Any]], kind: str, x: str, y: str) -> Curve:
    """The log's finite (x, y) of a kind, sorted; of several at one x (after a roll-back) the last counts."""
    points = {}
    for line in log:
        if line.get("kind") == kind and _finite(line.get(x)) and _finite(line.get(y)):
            points[float(line[x])] = float(line[y])
    ordered = sorted(points.items())
    return np.array([p[0] for p in ordered]), np.array([p[1] for p in ordered])


def _finite(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
