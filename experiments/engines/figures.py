"""The figure of two engines: the distance of every seed, both engines side by side."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from experiments.engines.compare import Comparison
from experiments.engines.runs import of_row
from experiments.engines.table import distance_name
from experiments.printing.drawing import COLOURS, new_figure, with_legend

APART, BESIDE = 0.36, 0.07
"""Between the two engines of a method, and between two seeds; methods are 1 apart."""


def engines_figure(found: Comparison) -> Figure:
    """A point a seed; a line and a bar for mean and sample standard deviation."""
    figure, axes = new_figure()
    for side, (engine, runs) in enumerate(zip(found.engines, found.runs, strict=True)):
        label: str | None = engine
        for place, row in enumerate(found.table.index):
            mine = of_row(runs, row)
            distances = mine[mine["status"] == "ok"]["fid_fresh"].dropna().to_numpy(dtype=float)
            if not len(distances):
                continue
            middle = place + (side - 0.5) * APART
            x = middle + BESIDE * (np.arange(len(distances)) - (len(distances) - 1) / 2)
            axes.plot(x, distances, "os"[side], color=COLOURS[side], markersize=6, label=label)
            deviation = distances.std(ddof=1) if len(distances) > 1 else 0.0
            beside = middle + (side - 0.5) * 4 * BESIDE
            axes.errorbar(beside, distances.mean(), deviation, fmt="_", color="#444444", capsize=4, markersize=12)
            label = None
    axes.set_xticks(range(len(found.table)), list(found.table["title"]))
    axes.set_xlim(-0.6, len(found.table) - 0.4)
    axes.set_ylim(bottom=0)
    axes.set_ylabel(distance_name(found).replace(" (", "\n(", 1))
    axes.set_title("point: a seed, in order; bar: mean ± sample standard deviation", fontsize=8, loc="left")
    return with_legend(figure, axes)
