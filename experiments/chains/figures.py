"""The study's figure: distance and energy of chains against their steps, one column of panels a setting of training."""

from __future__ import annotations

from collections.abc import Callable

import matplotlib
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from experiments.chains.rows import by_chain_setting, curve
from experiments.printing.drawing import COLOURS, REFERENCE
from experiments.runs.chains.settings import LIVE

KEY = "Line: mean over n seeds. Band (live weights, and the average that is followed furthest): minimum to maximum."
LIVE_COLOUR = COLOURS[1]


def chains_figure(rows: pd.DataFrame) -> Figure:
    """Four rows of panels: distance by weights; energy over the data's; distance by kind of chain; brightness."""
    settings = list(by_chain_setting(rows))
    figure = Figure(figsize=(1.2 + 3.6 * len(settings), 11.5), layout="constrained")
    figure.suptitle(KEY, fontsize=9, x=0.01, ha="left")
    panels = figure.subplots(4, len(settings), squeeze=False, sharex=True, sharey="row")
    draws: tuple[Callable[[Axes, pd.DataFrame], None], ...] = (_distance, _energy, _kinds, _brightness)
    for column, (name, part) in enumerate(settings):
        for axes, draw in zip(panels[:, column], draws, strict=True):
            axes.grid(True, which="major", color="#e5e5e5", linewidth=0.7)
            axes.spines[["top", "right"]].set_visible(False)
            axes.set_xscale("log")
            draw(axes, part)
        seeds = part["seed"].nunique()
        panels[0, column].set_title(f"chains restarted: {name}\n(n={seeds})", fontsize=10)
        panels[-1, column].set_xlabel("Langevin steps")
        _logarithmic(panels[0, column].xaxis)
    space = " / ".join(sorted(rows["features"].unique()))
    labels = (
        f"Fréchet distance\n({space} features)",
        "mean energy of the chains\nover the data's",
        f"Fréchet distance, live weights\n({space} features)",
        "mean pixel value",
    )
    for axes, label in zip(panels[:, 0], labels, strict=True):
        axes.set_ylabel(label)
    for line in (0, 1, 2, 3):
        handles, keys = panels[line, 0].get_legend_handles_labels()
        panels[line, -1].legend(handles, keys, loc="center left", bbox_to_anchor=(1.02, 0.5), frameon=False)
    return figure


def _distance(axes: Axes, rows: pd.DataFrame) -> None:
    for half_life, colour in _colours(rows).items():
        _line(axes, curve(rows, "distance", "fresh", half_life), colour, _name(half_life), half_life in _far(rows))
    _levels(axes, rows)
    axes.set_yscale("log")
    _logarithmic(axes.yaxis)


def _energy(axes: Axes, rows: pd.DataFrame) -> None:
    ratio = rows.assign(ratio=rows["energy"] / rows["energy_data"])
    for half_life, colour in _colours(rows).items():
        _line(axes, curve(ratio, "ratio", "fresh", half_life), colour, None, half_life in _far(rows))
    axes.axhline(1, color=REFERENCE, linewidth=1, label="energy of the data\nunder the same weights")
    axes.set_yscale("log")
    _logarithmic(axes.yaxis)


def _kinds(axes: Axes, rows: pd.DataFrame) -> None:
    _line(axes, curve(rows, "distance", "fresh", LIVE), LIVE_COLOUR, "from noise, last weights")
    _line(
        axes, curve(rows, "distance", "mixture", LIVE), COLOURS[0], "from noise, a mixture of\nthe last models' chains"
    )
    _line(axes, curve(rows, "distance", "continued", LIVE), COLOURS[2], "the buffer run on,\nlast weights")
    noises = sorted(set(rows[rows["kind"] == "fresh"]["noise"]) - set(rows[rows["kind"] == "buffer"]["noise"]))
    for noise, dash in zip(noises, ("--", ":", "-."), strict=False):
        label = f"from noise, last weights,\nsampler's noise {noise:g}"
        _line(axes, curve(rows, "distance", "fresh", LIVE, noise), "#000000", label, dash=dash, band=False)
    _levels(axes, rows)
    axes.set_yscale("log")
    _logarithmic(axes.yaxis)


def _brightness(axes: Axes, rows: pd.DataFrame) -> None:
    for half_life in _far(rows):
        _line(axes, curve(rows, "intensity", "fresh", half_life), _colours(rows)[half_life], _name(half_life))
    axes.axhline(rows["intensity_data"].iloc[0], color=REFERENCE, linewidth=1, label="the data")


def _levels(axes: Axes, rows: pd.DataFrame) -> None:
    for kind, dash, label in (("buffer", "--", "the buffer"), ("held-out", ":", "held-out real images")):
        values = rows[rows["kind"] == kind]["distance"]
        axes.axhspan(values.min(), values.max(), color=REFERENCE, alpha=0.15, linewidth=0)
        axes.axhline(values.mean(), color=REFERENCE, linestyle=dash, linewidth=1.2, label=label)


def _line(
    axes: Axes, data: pd.DataFrame, colour: object, label: str | None, band: bool = True, dash: str = "-"
) -> None:
    axes.plot(data["steps"], data["mean"], dash, color=colour, label=label, linewidth=1.6, marker="o", markersize=2.5)
    if band:
        axes.fill_between(data["steps"], data["min"], data["max"], color=colour, alpha=0.15, linewidth=0)


def _logarithmic(axis: Axis) -> None:
    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


def _name(half_life: float) -> str:
    return "live weights" if half_life == LIVE else f"average, half-life {half_life:,.0f} images"


def _far(rows: pd.DataFrame) -> list[float]:
    """The weights that were followed to the last step."""
    return sorted(set(rows[(rows["kind"] == "fresh") & (rows["steps"] == rows["steps"].max())]["half_life"]))


def _colours(rows: pd.DataFrame) -> dict[float, object]:
    """Live weights in their own colour, averages from light to dark by half-life."""
    halves = sorted(set(rows[rows["kind"] == "fresh"]["half_life"]) - {LIVE})
    shades = matplotlib.colormaps["viridis_r"]
    return {LIVE: LIVE_COLOUR} | {h: shades(0.1 + 0.9 * i / max(1, len(halves) - 1)) for i, h in enumerate(halves)}
