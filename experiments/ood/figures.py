"""Figures: energies of every set, AUROC over beta, and what blur alone does to the AUROC."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from experiments.measured.artefact import Found, values_of
from experiments.ood.measure import BETA, LEVELS, TEST
from experiments.ood.sets import SETS
from experiments.printing.drawing import COLOURS, DASHES

IN, BEYOND = "#bbbbbb", 12
"""Colour of the test images; how far an axis goes beyond them at the most, in ranges of their own energies."""
BINS = 120


def line_style(number: int) -> dict[str, Any]:
    """Colour and dashes of the line number 0, 1, ..."""
    return {"color": COLOURS[number % len(COLOURS)], "linestyle": DASHES[number // len(COLOURS) % len(DASHES)]}


def panels(count: int, width: float = 3.8, height: float = 2.8, across: int = 3) -> tuple[Figure, list[Axes]]:
    """A figure of `count` panels, the rest of the last line left empty."""
    columns = max(1, min(across, count))
    lines = max(1, -(-count // columns))
    figure = Figure(figsize=(max(6.0, width * columns), height * lines + 0.6), layout="constrained")
    every = figure.subplots(lines, columns, squeeze=False).flatten().tolist()
    for axes in every:
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(labelsize=8)
    for axes in every[count:]:
        axes.set_visible(False)
    return figure, every[:count]


def panels_with_legend(figure: Figure, axes: Sequence[Axes], title: str | None = None) -> Figure:
    """The figure with one legend for all panels under a title, or a word on why it is empty."""
    found: dict[str, Any] = {}
    for one in axes:
        for handle, label in zip(*one.get_legend_handles_labels(), strict=True):
            found.setdefault(label, handle)
    if found:
        across = max(2, int(figure.get_figwidth() / 2.6))
        small = {"title": title, "frameon": False, "fontsize": 8, "title_fontsize": 8, "ncols": across}
        figure.legend(list(found.values()), list(found), loc="outside lower center", **small)
    else:
        figure.text(0.5, 0.5, "no run has been measured for this", ha="center")
    return figure


def title_of(name: str) -> str:
    """What figures call a set."""
    return "Test images" if name == TEST else SETS[name].title


def energies_figure(rows: Mapping[str, Sequence[Found]]) -> Figure:
    """Densities of E(x), a panel a row (its first measured seed): the test images filled, a line a set."""
    first = {members[0].cell.title: done[0] for members in rows.values() if (done := values_of(members))}
    figure, every = panels(len(first))
    for axes, (title, values) in zip(every, first.items(), strict=True):
        kept = {name: between(points) for name, points in values["quantiles"].items()}
        low, high = np.quantile(kept[TEST], (0.005, 0.995))
        ends = np.quantile(list(kept.values()), (0.005, 0.995), axis=1)
        start = max(ends[0].min(), low - BEYOND * (high - low))
        end = min(ends[1].max(), high + BEYOND * (high - low))
        edges = np.linspace(start, end, BINS + 1)
        for number, (name, points) in enumerate(kept.items()):
            # what lies beyond the axis is counted at its ends
            counts = np.histogram(points.clip(start, end), edges)[0] / len(points)
            if name == TEST:
                axes.stairs(counts, edges, fill=True, color=IN, label=title_of(name))
            else:
                axes.stairs(counts, edges, label=title_of(name), **line_style(number - 1))
        axes.set_title(title, fontsize=9)
        axes.xaxis.set_major_locator(MaxNLocator(5))
        axes.set_xlabel("E(x)", fontsize=8)
        axes.set_ylabel("share of the images", fontsize=8)
    return panels_with_legend(figure, every, "Images beyond an axis are counted at its ends")


def betas_figure(rows: Mapping[str, Sequence[Found]]) -> Figure:
    """AUROC of E(x, h(x)) over beta, a panel a row with an encoder, a line a set: mean and range over seeds."""
    with_encoder = {row: done for row, members in rows.items() if (done := values_of(members)) and done[0]["betas"]}
    figure, every = panels(len(with_encoder), 5.0, 3.4)
    for axes, (row, done) in zip(every, with_encoder.items(), strict=True):
        betas = np.array(rows[row][0].protocol.betas)
        for number, name in enumerate(done[0]["betas"]):
            draw_band(axes, betas, [values["betas"][name] for values in done], title_of(name), number)
        cell = rows[row][0].cell
        training = getattr(getattr(cell.run, "config", None), "beta", None)
        axes.axvline(BETA, color="#666666", linewidth=0.8, linestyle=":")
        if training:
            axes.axvline(training, color="#666666", linewidth=0.8, linestyle="--")
        axes.set_xscale("symlog", linthresh=min(betas[betas > 0], default=BETA))
        axes.set_xlim(0, betas.max())
        words = f"; dashed: training's {training:g}" if training else ""
        axes.set_title(f"{cell.title}; dotted: the authors' {BETA:g}{words}", fontsize=9)
        finish_axes(axes, "β of E(x, h(x))")
    return panels_with_legend(figure, every)


def blurs_figure(rows: Mapping[str, Sequence[Found]]) -> Figure:
    """AUROC of E(x) over the blur of the other side, a panel a blurred set, a line a row."""
    runs = {row: done for row, members in rows.items() if (done := values_of(members))}
    names = list(dict.fromkeys(name for done in runs.values() for name in done[0]["blurs"]))
    figure, every = panels(len(names))
    for axes, name in zip(every, names, strict=True):
        for number, (row, done) in enumerate(runs.items()):
            blurs = np.array(rows[row][0].protocol.blurs)
            draw_band(axes, blurs, [values["blurs"][name] for values in done], rows[row][0].cell.title, number)
        axes.set_title(f"{title_of(name)}, blurred", fontsize=9)
        finish_axes(axes, "standard deviation of the blur in pixels")
    return panels_with_legend(figure, every)


def draw_band(axes: Axes, x: np.ndarray, runs: Sequence[Sequence[float]], name: str, number: int) -> None:
    """The mean of several runs as a line, and the range over them as a band."""
    values = np.array(runs)
    style = line_style(number)
    axes.plot(x, values.mean(0), label=name, marker="o", markersize=3, linewidth=1.2, **style)
    if len(values) > 1:
        axes.fill_between(x, values.min(0), values.max(0), color=style["color"], alpha=0.15, linewidth=0)


def finish_axes(axes: Axes, across: str) -> None:
    """What an axis of AUROCs shows; it begins below the lowest."""
    axes.axhline(0.5, color="#666666", linewidth=0.8)
    least = min([0.5, *(float(np.min(line.get_ydata())) for line in axes.lines if line.get_marker() == "o")])
    axes.set_ylim(np.floor(10 * least) / 10 - 0.03, 1.03)
    axes.set_xlabel(across, fontsize=8)
    axes.set_ylabel("AUROC", fontsize=8)


def between(points: Sequence[float]) -> np.ndarray:
    """Values at equal levels between kept quantiles, so that a histogram of them is the sample's."""
    return np.interp(np.linspace(0, LEVELS, 20 * LEVELS + 1), np.arange(LEVELS + 1), points)
