"""Figures of speed and memory: time an iteration, memory, distance against cost, and growth with size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from experiments.printing.drawing import COLOURS, REFERENCE, log_distances, new_figure, with_legend
from experiments.printing.numbers import number as formatted
from experiments.printing.styles import row_styles
from experiments.speed.scaling import AXES, QUANTITIES

LEAST_SPAN = 4.0
"""From the lower end of a scale of growth to its upper one, so that no small difference fills it."""
PLAIN = FuncFormatter(lambda value, _: f"{value:g}")


def iteration_bars(values: pd.DataFrame) -> Figure:
    """Milliseconds an iteration, a bar a row, with the part that its Langevin steps take and the quartiles."""
    good = _good(values)
    figure, axes = new_figure()
    place = np.arange(len(good))[::-1]
    chains = good["chain_share"].fillna(0.0) * good["iteration_ms"]
    axes.barh(place, chains, color=COLOURS[0], label="Langevin steps")
    axes.barh(place, good["iteration_ms"] - chains, left=chains, color=COLOURS[5], label="all else")
    ends = [good["iteration_ms"] - good["iteration_ms_q1"], good["iteration_ms_q3"] - good["iteration_ms"]]
    axes.errorbar(good["iteration_ms"], place, xerr=np.maximum(ends, 0), fmt="none", color="black", linewidth=1)
    axes.set_yticks(place, _names(good))
    axes.set_xlabel("an iteration (ms); line: quartiles")
    with_legend(figure, axes)
    return _failures(figure, values)


def memory_bars(values: pd.DataFrame) -> Figure:
    """Peak memory of training in MB, a bar a row."""
    good = _good(values)
    figure, axes = new_figure()
    place = np.arange(len(good))[::-1]
    bars = axes.barh(place, good["peak_memory_bytes"] * 1e-6, color=COLOURS[2])
    axes.bar_label(bars, fmt="%.0f", fontsize=8, padding=2)
    axes.set_yticks(place, _names(good))
    axes.set_xlabel("peak memory of training (MB)")
    return _failures(figure, values)


def distance_against_cost(
    values: pd.DataFrame, distances: Mapping[str, Sequence[float]], name: str, where: str
) -> Figure:
    """Fréchet distance against hours of training and against memory, a point a row, its range over seeds as a line.

    Args:
        distances: by row key, a number a seed. A row whose configuration was never trained has none; one row has some.
        name: of the distance.
        where: the file that they come from, for the line that says which rows are missing.
    """
    good = _good(values)
    figure = Figure(figsize=(8.0, 4.5), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    missing = []
    styles = row_styles([str(key) for key in good.index])
    for key, row in good.iterrows():
        found = list(distances.get(str(key), ()))
        if not found:
            missing.append(str(row["title"]))
            continue
        y = float(np.mean(found))
        style = styles[str(key)]
        for axes, x in zip(panels, (row["own_hours"] * 60, row["peak_memory_bytes"] * 1e-6), strict=True):
            axes.plot([x, x], [min(found), max(found)], color=style.colour, linewidth=1.2)
            axes.plot(x, y, style.marker, color=style.colour, label=f"{row['title']} (n={len(found)})")
    for axes, label in zip(
        panels, ("training as its preset has it (min)", "peak memory of training (MB)"), strict=True
    ):
        axes.grid(True, which="major", color="#e5e5e5", linewidth=0.7)
        axes.spines[["top", "right"]].set_visible(False)
        axes.set_xlabel(label)
        axes.set_xlim(left=0)
        log_distances(axes)
    panels[0].set_ylabel(name)
    panels[1].legend(frameon=False, fontsize=8)
    if missing:
        figure.suptitle(f"no trained run in {where}: {' / '.join(missing)}", fontsize=8, x=0.01, ha="left", wrap=True)
    return figure


def growth(rows: Sequence[Mapping[str, Any]], fits: Sequence[Mapping[str, Any]]) -> Figure:
    """Time an iteration and peak memory against each thing that grows, both logarithmic, with the exponents.

    All panels of a quantity have one scale, so that what hardly grows looks flat; the other axis has ticks at the
    points.
    """
    figure = Figure(figsize=(11.0, 5.5), layout="constrained")
    axes_of = [axis for axis in AXES if any(row["axis"] == axis for row in rows)]
    titles = list(dict.fromkeys(str(row["title"]) for row in rows))
    panels = figure.subplots(2, max(1, len(axes_of)), squeeze=False)
    for column, axis in enumerate(axes_of):
        for line, (quantity, scale, label) in enumerate((("seconds", 1e3, "ms"), ("bytes", 1e-6, "MB"))):
            axes = panels[line][column]
            for number, title in enumerate(titles):
                part = [row for row in rows if (row["title"], row["axis"]) == (title, axis)]
                if not part:
                    continue
                keys = (title, axis, quantity)
                fit = next((f for f in fits if (f["title"], f["axis"], f["quantity"]) == keys), None)
                name = f"{title}: p = {formatted(fit['exponent'], 2)}" if fit else title
                x, y = [row["value"] for row in part], [row[quantity] * scale for row in part]
                axes.plot(x, y, "o-", color=COLOURS[number % len(COLOURS)], label=name)
            axes.set_xscale("log")
            points = sorted({row["value"] for row in rows if row["axis"] == axis})
            axes.set_xticks(points, [f"{value:g}" for value in points])
            axes.xaxis.set_minor_locator(NullLocator())
            _scale(axes, [row[quantity] * scale for row in rows])
            axes.grid(True, color="#e5e5e5", linewidth=0.7)
            axes.set_xlabel(AXES[axis])
            axes.set_ylabel(f"{QUANTITIES[quantity]} ({label})")
            axes.legend(frameon=False, fontsize=8)
    return figure


def _scale(axes: Axes, values: Sequence[float]) -> None:
    """A logarithmic axis y around the values, of a factor LEAST_SPAN at least, with plain numbers at its ticks."""
    low, high = min(values), max(values)
    wider = max(1.15, (LEAST_SPAN * low / high) ** 0.5)
    axes.set_yscale("log")
    axes.set_ylim(low / wider, high * wider)
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 3, 5, 7) if high < 30 * low else (1, 2, 5), numticks=20))
    axes.yaxis.set_major_formatter(PLAIN)
    axes.yaxis.set_minor_locator(NullLocator())


def _good(values: pd.DataFrame) -> pd.DataFrame:
    return values[values["status"] == "ok"]


def _names(values: pd.DataFrame) -> list[str]:
    return [f"{row['title']} (batch {row['images']:,.0f})" for _, row in values.iterrows()]


def _failures(figure: Figure, values: pd.DataFrame) -> Figure:
    bad = values[values["status"] != "ok"]
    if len(bad):
        text = "not measured: " + ", ".join(f"{row['title']} ({row['status']})" for _, row in bad.iterrows())
        figure.suptitle(text, fontsize=8, x=0.01, ha="left", color=REFERENCE)
    return figure
