"""Figures of Table 1: distance against what training costs and against sampling steps, energy gap.

Built from the cells like the table: no method is known here, colours follow the order of the rows. Every function
returns a Figure of matplotlib's object-oriented interface and leaves no state behind; `png` turns it into bytes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from clel.storage.log import read_log
from experiments.printing.drawing import REFERENCE, log_distances, log_steps, new_figure, with_legend
from experiments.printing.headings import distance_title
from experiments.sweep.store import Declared, Stored
from experiments.table1.curves import Array, Curve, band_over_seeds, distance_curve, gap_curve, steps_curve
from experiments.table1.drawn import draw_references, row_label, styled

MARKED = 8
"""Marks of a line, about: it has many more points."""
NOTHING = np.array([])
KEY = "line: mean over seeds, band: minimum to maximum, cross: failed run"


def distance_over_time(cells: Sequence[Declared], runs: Mapping[str, Stored]) -> Figure:
    """Frechet distance of fresh chains against the training clock, see `_distance_over`."""
    curves = {name: distance_curve(read_log(runs[name].folder)) for name in runs}
    end = max((x[-1] for x, _ in curves.values() if len(x)), default=1.0)
    unit, scale = ("h", 3600.0) if end > 2 * 3600 else ("min", 60.0) if end > 15 * 60 else ("s", 1.0)
    return _distance_over(cells, runs, curves, scale, f"training time ({unit})")


def distance_over_gradients(cells: Sequence[Declared], runs: Mapping[str, Stored]) -> Figure:
    """Frechet distance of fresh chains against the batches of dE/dx that training has taken, see `_distance_over`.

    Methods without chains in training take none and have no curve.
    """
    curves = {name: distance_curve(read_log(runs[name].folder), "gradient_evaluations") for name in runs}
    taken = {
        name: curve if len(curve[0]) and curve[0][-1] > 0 else (NOTHING, NOTHING) for name, curve in curves.items()
    }
    return _distance_over(
        cells, runs, taken, 1000.0, "gradient evaluations of a batch of chains in training (thousands)"
    )


def _distance_over(
    cells: Sequence[Declared], runs: Mapping[str, Stored], curves: Mapping[str, Curve], scale: float, name: str
) -> Figure:
    """Frechet distance of fresh chains over a cost of training in units of `scale`, one colour a table row.

    Line: mean over the seeds that ended well, each interpolated linearly in the logarithm on a common cost, as far as
    all of them go. Band: their minimum and maximum. Runs that failed are thin lines that end in a cross. Rows without
    training (references) are horizontal lines at their final distance, with a band over seeds where they have any.
    """
    figure, axes = new_figure()
    end = max((x[-1] for x, _ in curves.values() if len(x)), default=scale)
    for index, (members, style) in enumerate(styled(cells, runs)):
        colour, dash = style.colour, style.dash
        good = [curves[c.run_name] for c in members if runs[c.run_name].ok and len(curves[c.run_name][0])]
        failed = [curves[c.run_name] for c in members if not runs[c.run_name].ok and len(curves[c.run_name][0])]
        _failed(axes, [(x / scale, y) for x, y in failed], colour, dash, None if good else row_label(members, good))
        if good:
            x, low, mean, high = band_over_seeds(good, logarithmic=True)
            axes.fill_between(x / scale, low, high, color=colour, alpha=0.18, linewidth=0)
            label = row_label(members, good)
            axes.plot(
                x / scale,
                mean,
                marker=style.marker,
                markevery=max(1, len(x) // MARKED),
                markersize=4,
                color=colour,
                linestyle=dash,
                linewidth=1.8,
                label=label,
                zorder=3 + index,
            )
    draw_references(axes, cells, runs)
    log_distances(axes)
    axes.set_xlim(0, 1.02 * end / scale)
    axes.set_xlabel(name)
    axes.set_ylabel(distance_title(runs))
    axes.set_title(KEY + _sample_counts(runs), fontsize=8, loc="left")
    return with_legend(figure, axes)


def energy_gap(cells: Sequence[Declared], runs: Mapping[str, Stored]) -> Figure:
    """E(negatives) - E(positives) against the training iteration, lines and bands as in `_distance_over`.

    Curves are running means over a fiftieth of their length. The axis shows the central part of the values, so that one
    divergence does not flatten all else; what it leaves out is counted.
    """
    figure, axes = new_figure()
    shown: list[Array] = []
    for members, style in styled(cells, runs):
        colour, dash = style.colour, style.dash
        curves = [(runs[c.run_name].ok, gap_curve(read_log(runs[c.run_name].folder))) for c in members]
        good = [curve for ok, curve in curves if ok and len(curve[0])]
        failed = [curve for ok, curve in curves if not ok and len(curve[0])]
        shown += [curve[1] for curve in good + failed]
        _failed(axes, failed, colour, dash, None if good else row_label(members, good))
        if good:
            x, low, mean, high = band_over_seeds(good)
            axes.fill_between(x, low, high, color=colour, alpha=0.18, linewidth=0)
            marker = "o" if len(set(x)) == 1 else None  # a single point makes no line
            label = row_label(members, good)
            axes.plot(x, mean, marker=marker, color=colour, linestyle=dash, linewidth=1.5, label=label)
    axes.axhline(0, color=REFERENCE, linewidth=0.8)
    title = KEY
    if shown:
        values = np.concatenate(shown)
        low, high = np.quantile(values, [0.01, 0.99])
        margin = 0.1 * max(high - low, 1e-6)
        low, high = min(low, 0.0) - margin, max(high, 0.0) + margin
        axes.set_ylim(low, high)
        outside = int(np.sum((values < low) | (values > high)))
        title += f"\n{outside} of {len(values)} values lie outside the axis" if outside else ""
    axes.set_xlim(left=0)
    axes.set_xlabel("training iteration")
    axes.set_ylabel("energy gap E(negatives) − E(positives)")
    axes.set_title(title, fontsize=8, loc="left")
    return with_legend(figure, axes)


def _sample_counts(runs: Mapping[str, Stored]) -> str:
    """How many samples a point of the curves stands on, since the table's distances stand on others."""
    lines = (line for name in runs for line in read_log(runs[name].folder) if line.get("kind") == "evaluation")
    counts = sorted({line["n_fresh"] for line in lines if isinstance(line.get("n_fresh"), int)})
    return f"; {' or '.join(map(str, counts))} samples a point" if counts else ""


def _failed(axes: Axes, curves: Sequence[Curve], colour: str, dash: str, label: str | None) -> None:
    """Runs that failed, as far as they went; `label` names them where their row has no other line."""
    for index, (x, y) in enumerate(curves):
        name = label if index == 0 else None
        axes.plot(x, y, color=colour, linestyle=dash, linewidth=0.8, alpha=0.7, label=name)
        axes.plot(x[-1:], y[-1:], "x", color=colour, markersize=6)


def distance_over_steps(cells: Sequence[Declared], runs: Mapping[str, Stored]) -> Figure:
    """Frechet distance of fresh chains against Langevin steps, both logarithmic, one colour a row.

    Line: mean over the seeds that ended well; band: their minimum and maximum. A ring marks the steps of the table's
    number; chains that were followed beyond go on from there, with the number of chains that they were measured on, so
    that the lines meet where it is the table's. A row whose samples take no steps is a horizontal line, ringed at the
    left. Dotted: the row's replay buffer, the mean over seeds. A dashed line with crosses is the authors' protocol,
    where it was measured.
    """
    figure, axes = new_figure()
    for members, style in styled(cells, runs):
        colour = style.colour
        good = [runs[cell.run_name] for cell in members if runs[cell.run_name].ok]
        for source, dash, marker in (("fresh", "-", style.marker), ("beyond", "-", "."), ("paper", "--", "x")):
            x, values = _alike([steps_curve(run.part("evaluations"), source) for run in good])
            if not len(x):
                continue
            label = row_label(members, [(x, y) for y in values]) if source == "fresh" else None
            middle = values.mean(0)
            if x[-1] == 0:
                axes.axhline(middle[-1], color=colour, label=label)
                at_left = axes.get_yaxis_transform()
                axes.plot(
                    0, middle[-1], "o", color=colour, markersize=9, fillstyle="none", transform=at_left, clip_on=False
                )
                continue
            axes.fill_between(x, values.min(0), values.max(0), color=colour, alpha=0.18, linewidth=0)
            axes.plot(x, middle, color=colour, linestyle=dash, marker=marker, markersize=4, label=label)
            if source == "fresh":
                axes.plot(x[-1:], middle[-1:], "o", color=colour, markersize=9, fillstyle="none")
        buffers = [value for run in good if (value := run.part("metrics").get("fid_buffer")) is not None]
        if buffers:
            axes.axhline(float(np.mean(buffers)), color=colour, linestyle=":", linewidth=1.2)
    draw_references(axes, cells, runs)
    log_distances(axes)
    log_steps(axes)
    axes.set_xlabel("Langevin steps of a fresh chain")
    axes.set_ylabel(distance_title(runs))
    key = "line: mean over seeds, band: minimum to maximum, ring: the table's number, dotted: replay buffer"
    if any(run.part("metrics").get("fid_paper") is not None for run in runs.values()):
        key += ",\ndashed with crosses: the paper protocol"
    axes.set_title(key, fontsize=8, loc="left")
    return with_legend(figure, axes)


def _alike(curves: Sequence[Curve]) -> tuple[Array, Array]:
    """The steps of the first curve that has any, and the distances [curves, steps] of those that have the same ones.

    A run that was measured after other numbers of steps has no place in a mean.
    """
    there = [curve for curve in curves if len(curve[0])]
    if not there:
        return np.array([]), np.array([])
    x = there[0][0]
    return x, np.stack([y for steps, y in there if np.array_equal(steps, x)])
