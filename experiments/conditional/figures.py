"""Figures of conditional sampling: confusion matrices, images class by class, and the sweep of the weight."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from statistics import mean
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray

from baselines import METHODS
from clel.data.image_grid import tile
from clel.sampling.conditional import Guidance
from experiments.conditional.settings import RECALL, ROWS, GuidedLine, best, by_setting
from experiments.measured.artefact import Found, found_by_row
from experiments.printing.drawing import COLOURS


def confusions_figure(found: Sequence[Found]) -> Figure:
    """A heat map a row of the table: how often images of the class asked for (down) were judged to be each (across)."""
    rows = found_by_row(found)
    figure = Figure(figsize=(3.0 * len(rows), 3.7), layout="constrained")
    panels = figure.subplots(1, len(rows), squeeze=False)[0]
    for axes, own in zip(panels, rows.values(), strict=True):
        values: list[Any] = [one.values for one in own]
        names = [c["class"] for c in values[0]["classes"]]
        counts = np.sum([v["confusion"] for v in values], axis=0, dtype=float)
        shares = counts / counts.sum(1, keepdims=True)
        axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
        for i, j in np.ndindex(*shares.shape):
            if shares[i, j] >= 0.005:
                colour = "white" if shares[i, j] > 0.5 else "black"
                axes.text(j, i, f"{shares[i, j]:.2f}".lstrip("0"), ha="center", va="center", fontsize=5, color=colour)
        axes.set_xticks(range(len(names)), names, rotation=90, fontsize=6)
        axes.set_yticks(range(len(names)), names, fontsize=6)
        axes.set_title(f"{own[0].cell.title}: {mean(v['accuracy'] for v in values):.3f}", fontsize=8)
        axes.set_xlabel("judged to be", fontsize=7)
    panels[0].set_ylabel("asked for", fontsize=7)
    return figure


def samples_figure(shown: Sequence[tuple[Found, NDArray[np.uint8] | None]]) -> Figure:
    """Eight images of each class (a line a class) of the first seed of every row."""
    figure = Figure(figsize=(2.6 * len(shown), 3.2), layout="constrained")
    panels = figure.subplots(1, len(shown), squeeze=False)[0]
    for axes, (one, images) in zip(panels, shown, strict=True):
        axes.set_axis_off()
        axes.set_title(one.cell.title, fontsize=8)
        if images is not None:
            axes.imshow(lines(images), cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    return figure


def lines(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """uint8 [K, M, C, H, W] -> one image, a line for each of K: [H', W', C]."""
    flat = torch.from_numpy(images).flatten(0, 1)
    return tile(flat, columns=images.shape[1], between=128).permute(1, 2, 0).numpy()


def sweep_figure(measured: Sequence[GuidedLine]) -> Figure:
    """A panel a method: share of the class asked for, and least share of recall kept, over the weight; a ring around
    the chosen setting."""
    figure = Figure(figsize=(3.6 * len(ROWS), 3.0), layout="constrained")
    for axes, row in zip(figure.subplots(1, len(ROWS), squeeze=False)[0], ROWS, strict=True):
        own = [line for line in measured if line.row == row]
        groups, found = by_setting(own), best(own)
        curves: dict[Guidance, list[Guidance]] = {}
        for setting in groups:
            curves.setdefault(replace(setting, weight=0.0), []).append(setting)
        lengths = list(dict.fromkeys(kind.steps for kind in curves))
        colours = list(dict.fromkeys((kind.spread, kind.restarts) for kind in curves))
        for kind, settings in curves.items():
            colour, marker = COLOURS[colours.index((kind.spread, kind.restarts))], "os^v"[lengths.index(kind.steps)]
            weights = [setting.weight for setting in settings]
            accuracy = [mean(x.accuracy for x in groups[setting]) for setting in settings]
            recall = [mean(x.recall for x in groups[setting]) for setting in settings]
            name = f"{kind.steps} steps" + f", spread {kind.spread:g}, {kind.restarts} restarts" * (row == ROWS[0])
            axes.plot(weights, accuracy, "-", marker=marker, color=colour, markersize=3, label=name)
            axes.plot(weights, recall, "--", marker=marker, color=colour, markersize=2, linewidth=0.8)
            if found in settings:
                at = settings.index(found)
                axes.plot([weights[at]], [accuracy[at]], "o", markersize=12, fillstyle="none", color="black")
        axes.axhline(RECALL, color="grey", linewidth=0.6)
        axes.set_xscale("log")
        axes.set_ylim(bottom=0)
        axes.set_title(METHODS[row].title, fontsize=9)
        axes.set_xlabel("weight w", fontsize=8)
        axes.set_ylabel("of the class asked for (line),\nleast share of recall (dashed)", fontsize=7)
        axes.tick_params(labelsize=7)
        axes.legend(fontsize=6, frameon=False)
        axes.spines[["top", "right"]].set_visible(False)
    return figure
