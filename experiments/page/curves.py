"""Curves of a table's rows, mean and range over the seeds, as the page's program draws them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from clel.storage.log import read_log
from experiments.printing.styles import Style
from experiments.sweep.store import Declared, Stored
from experiments.table1.curves import Array, Curve, band_over_seeds, distance_curve, steps_curve
from experiments.table1.drawn import styled

POINTS = 60
"""Of a curve on a page; a training is evaluated at fewer."""
COSTS = {
    "iteration": "training iterations",
    "images": "training images",
    "gradient_evaluations": "gradient evaluations of training's chains",
    "seconds": "seconds of training",
}
"""What the distance is drawn against."""
STEPS = "Langevin steps of sampling"
PATTERNS = {"-": [], "--": [8, 4], "-.": [8, 3, 2, 3], ":": [2, 3]}
"""Of a dash: pixels drawn and left out."""


def row_curves(cells: Sequence[Declared], runs: Mapping[str, Stored]) -> dict[str, list[dict[str, Any]]]:
    """{abscissa: [{title, colour, x, low, mean, high}]} of the Fréchet distance of fresh chains, for JSON."""
    logs = {name: read_log(run.folder) for name, run in runs.items() if run.ok}
    rows = styled(cells, runs)
    found: dict[str, list[dict[str, Any]]] = {}
    for cost, words in COSTS.items():
        for members, style in rows:
            own = [distance_curve(logs[c.run_name], cost) for c in members if c.run_name in logs]
            _add(found, words, members[0].title, style, own)
    for members, style in rows:
        own = [steps_curve(runs[c.run_name].part("evaluations"), "fresh") for c in members if c.run_name in logs]
        _add(found, STEPS, members[0].title, style, own)
    return found


def _add(found: dict[str, list[dict[str, Any]]], words: str, title: str, style: Style, curves: Sequence[Curve]) -> None:
    """One row's curve, where its runs have one of several points."""
    good = [curve for curve in curves if len(curve[0]) > 1]
    if not good:
        return
    x, low, mean, high = band_over_seeds(good, logarithmic=True)
    chosen = np.unique(np.linspace(0, len(x) - 1, POINTS).round().astype(int))
    parts = {"x": x, "low": low, "mean": mean, "high": high}
    found.setdefault(words, []).append(
        {"title": title, "colour": style.colour, "dash": PATTERNS[style.dash]}
        | {name: _short(values[chosen]) for name, values in parts.items()}
    )


def _short(values: Array) -> list[float]:
    return [float(f"{value:.5g}") for value in values]
