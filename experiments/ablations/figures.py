"""The figure of ablations: the distance of every seed of every row, a panel a study."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from experiments.ablations.rows import Study
from experiments.printing.drawing import COLOURS, REFERENCE

WIDE = 4
"""Times the least distance from which on the axis is logarithmic."""
COLUMNS = {"fid_fresh": "distance, fresh chains ↓", "auroc": "AUROC ↑"}


def ablations_figure(studies: Sequence[Study], frame: pd.DataFrame, runs: pd.DataFrame, default: str) -> Figure:
    """Points: seeds; bars: means; grey line: the default's mean. Beside the distance the AUROC, where there is one."""
    shown = {name: label for name, label in COLUMNS.items() if name == "fid_fresh" or runs[name].notna().any()}
    heights = [len(study.rows) + 1.5 for study in studies]
    figure = Figure(figsize=(4.6 * len(shown) + 2.4, 0.36 * sum(heights) + 0.6), layout="constrained")
    panels = figure.subplots(len(studies), len(shown), squeeze=False, height_ratios=heights, sharey="row")
    for study, line in zip(studies, panels, strict=True):
        own = frame[frame["study"] == study.name]
        for axes, (column, label) in zip(line, shown.items(), strict=True):
            _draw(axes, [str(key) for key in own["row"]], runs, column, default)
            axes.set_yticks(range(len(own)), list(own["title"]), fontsize=8)
            axes.set_ylim(len(own) - 0.4, -0.6)
            axes.set_xlabel(label, fontsize=8)
        line[0].set_title(study.question, fontsize=9, loc="left")
    return figure


def _draw(axes: Axes, keys: Sequence[str], runs: pd.DataFrame, column: str, default: str) -> None:
    axes.axvline(runs.loc[runs["row"] == default, column].mean(), color=REFERENCE, linewidth=0.9, linestyle="--")
    for place, key in enumerate(keys):
        values = runs.loc[runs["row"] == key, column].dropna()
        colour = REFERENCE if key == default else COLOURS[0]
        axes.plot(values, [place] * len(values), "o", color=colour, markersize=4, alpha=0.7)
        if len(values):
            axes.plot([values.mean()], [place], "|", color=colour, markersize=14, markeredgewidth=2)
    drawn = runs.loc[runs["row"].isin(keys), column].dropna()
    if column == "fid_fresh" and len(drawn) and drawn.min() > 0 and drawn.max() > WIDE * drawn.min():
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.xaxis.set_minor_formatter(NullFormatter())
    axes.tick_params(labelsize=8)
    axes.grid(True, axis="x", color="#e5e5e5", linewidth=0.7)
    axes.spines[["top", "right"]].set_visible(False)
