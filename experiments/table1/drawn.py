"""Rows of a table as its figures draw them: each in its method's colour, those without training as lines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes

from experiments.printing.drawing import REFERENCE
from experiments.printing.numbers import counted_runs
from experiments.printing.styles import Style, row_styles
from experiments.sweep.store import Declared, Stored, by_row, is_reference
from experiments.table1.curves import Curve


def styled(cells: Sequence[Declared], runs: Mapping[str, Stored]) -> list[tuple[list[Declared], Style]]:
    """Every row with training, and how it looks; see `row_styles`."""
    rows = [members for members in by_row(cells).values() if not all(is_reference(runs[c.run_name]) for c in members)]
    styles = row_styles([members[0].row for members in rows])
    return [(members, styles[members[0].row]) for members in rows]


def row_label(members: Sequence[Declared], good: Sequence[Curve]) -> str:
    return f"{members[0].title} ({counted_runs(len(good), len(members))})"


def references(cells: Sequence[Declared], runs: Mapping[str, Stored]) -> dict[str, list[float]]:
    """Distances of each reference row, a number a seed."""
    found: dict[str, list[float]] = {}
    for cell in cells:
        run = runs[cell.run_name]
        value = run.part("metrics").get("fid_fresh")
        if is_reference(run) and value is not None and value > 0:
            found.setdefault(cell.title, []).append(float(value))
    return found


def draw_references(axes: Axes, cells: Sequence[Declared], runs: Mapping[str, Stored]) -> None:
    """A horizontal line and its name for every row without training, with a band over its seeds."""
    for title, distances in references(cells, runs).items():
        middle = float(np.exp(np.log(distances).mean()))
        axes.axhspan(min(distances), max(distances), color=REFERENCE, alpha=0.18, linewidth=0)
        axes.axhline(middle, color=REFERENCE, linestyle=(0, (4, 2)), linewidth=1)
        axes.annotate(
            f"{title}\n{middle:.3g}",
            (1.0, middle),
            xycoords=("axes fraction", "data"),
            xytext=(4, 0),
            textcoords="offset points",
            va="center",
            fontsize=8,
            color=REFERENCE,
            annotation_clip=False,
        )
