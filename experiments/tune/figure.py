"""The figure of the trials: score against learning rate, a line for each value of the other setting."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter

from baselines import METHODS
from experiments.drawing import COLOURS
from experiments.tune.grids import GRIDS
from experiments.tune.table import by_method
from experiments.tune.trials import Scored, best


def trials_figure(rows: Sequence[Scored], profile: str) -> Figure:
    """A panel a method; a point a trial with its spread over the seeds, a ring around the chosen one."""
    methods = by_method(rows)
    figure = Figure(figsize=(3.0 * min(3, len(methods)), 2.6 * -(-len(methods) // 3)), layout="constrained")
    panels = figure.subplots(-(-len(methods) // 3), min(3, len(methods)), squeeze=False).flatten()
    for axes, (method, own) in zip(panels, methods.items(), strict=False):
        first, second = GRIDS[profile][method].settings
        chosen = best(own)
        for number, value in enumerate(second.values):
            points = [
                (dict(changes)[first.key], row)
                for row, changes in zip(own, GRIDS[profile][method].trials, strict=True)
                if dict(changes)[second.key] == value and row.score is not None
            ]
            axes.errorbar(
                [x for x, _ in points],
                [row.score for _, row in points],
                [row.spread or 0 for _, row in points],
                color=COLOURS[number],
                marker="os^v"[number % 4],
                capsize=3,
                label=f"{second.key} {value:g}",
            )
            for x, row in points:
                if row is chosen:
                    axes.plot([x], [row.score], "o", markersize=14, fillstyle="none", color="black")
        axes.set_xscale("log")
        axes.set_xticks(first.values)
        axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.margins(x=0.15)
        axes.set_ylim(bottom=0)
        axes.set_title(METHODS[method].title, fontsize=9)
        axes.set_xlabel("learning rate", fontsize=8)
        axes.set_ylabel("distance to held-out images", fontsize=8)
        axes.tick_params(labelsize=8)
        axes.legend(fontsize=7, frameon=False)
        axes.spines[["top", "right"]].set_visible(False)
    for axes in panels[len(methods) :]:
        axes.set_visible(False)
    return figure
