"""The figure of the comparisons: each row's difference from the subject, with its interval."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from experiments.printing.drawing import COLOURS, REFERENCE, new_figure, with_legend
from experiments.table1.comparisons.compare import HIGHER, LOWER, UNDECIDED, Compared

STYLES = {LOWER: ("<", COLOURS[0]), HIGHER: (">", COLOURS[1]), UNDECIDED: ("o", REFERENCE)}
"""Marker and colour of a word."""


def comparisons_figure(found: Compared, name: str) -> Figure:
    """A line a row, in the order of the table from the top; rows without a difference stay empty."""
    figure, axes = new_figure()
    title = found.subject["title"]
    axes.axvline(0, color="#000000", linewidth=0.8)
    for word, (marker, colour) in STYLES.items():
        label: str | None = f"{word} than {title}" if word != UNDECIDED else word
        for place, (_, row) in enumerate(found.table.iterrows()):
            if row["outcome"] != word or pd.isna(row["difference"]):
                continue
            if pd.notna(row["low"]):
                axes.plot([row["low"], row["high"]], [place, place], "-|", color=colour, linewidth=1.8, markersize=9)
            axes.plot(row["difference"], place, marker, color=colour, markersize=6, label=label)
            label = None
    axes.set_yticks(range(len(found.table)), list(found.table["title"]))
    axes.set_ylim(len(found.table) - 0.5, -0.5)
    axes.set_xlabel(f"difference from {title}: {name}")
    axes.set_title("mark: difference of the means; line: its 95 % interval (Welch)", fontsize=8, loc="left")
    return with_legend(figure, axes)
