"""The figure of the trials: score against the first setting, a line for each value of the second, presets apart."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter

from baselines import METHODS
from clel.runs.config import resolve
from experiments.printing.drawing import COLOURS
from experiments.sweep.grid import PROFILES
from experiments.sweep.variants import value_at
from experiments.tune.grids import GRIDS
from experiments.tune.table import by_method
from experiments.tune.trials import Scored, best


def trials_figure(rows: Sequence[Scored], profile: str) -> Figure:
    """A panel a method; a point a trial with its spread over the seeds, a ring around the chosen one."""
    methods = by_method(rows)
    figure = Figure(figsize=(3.0 * min(3, len(methods)), 2.6 * -(-len(methods) // 3)), layout="constrained")
    panels = figure.subplots(-(-len(methods) // 3), min(3, len(methods)), squeeze=False).flatten()
    for axes, (method, own) in zip(panels, methods.items(), strict=False):
        first, *more = GRIDS[profile][method].settings
        chosen = best(own)
        lines: dict[str, list[tuple[float, Scored]]] = {}
        for row, trial in zip(own, GRIDS[profile][method].trials, strict=True):
            values = dict(trial.changes)
            name = trial.preset or ", ".join(f"{setting.key} {values[setting.key]:g}" for setting in more)
            points = lines.setdefault(name or "preset's settings", [])
            if row.score is not None:
                preset: Any = resolve(METHODS, method, trial.preset or PROFILES[profile].presets[0])
                points.append((values.get(first.key, value_at(preset, first.key)), row))
        for number, (name, points) in enumerate(lines.items()):
            axes.errorbar(
                [x for x, _ in points],
                [row.score for _, row in points],
                [row.spread or 0 for _, row in points],
                color=COLOURS[number],
                marker="os^v"[number % 4],
                capsize=3,
                label=name,
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
        axes.set_xlabel("learning rate" if first.key == "lr" else first.key, fontsize=8)
        axes.set_ylabel("distance to held-out images", fontsize=8)
        axes.tick_params(labelsize=8)
        axes.legend(fontsize=7, frameon=False)
        axes.spines[["top", "right"]].set_visible(False)
    for axes in panels[len(methods) :]:
        axes.set_visible(False)
    return figure
