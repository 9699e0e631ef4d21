"""Figures of Table 1: distance against training time, energy gap, sample grids side by side.

Built from the cells like the table: no method is known here, colours follow the order of the rows. Every function
returns a Figure of matplotlib's object-oriented interface and leaves no state behind; `png` turns it into bytes.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from experiments.curves import Array, Curve, distance_curve, gap_curve, over_seeds
from experiments.headings import feature_spaces, is_inception
from experiments.store import Cell, Run, read_log
from experiments.tables import by_row

# Okabe and Ito's colours, told apart with every kind of colour vision; beyond the seventh row the dashes differ too
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
DASHES = ("-", "--", "-.", ":")
REFERENCE = "#666666"
KEY = "line: mean over seeds, band: minimum to maximum, cross: failed run"


def png(figure: Figure, dpi: int = 150) -> bytes:
    """The figure as a PNG file; the same figure gives the same bytes."""
    buffer = io.BytesIO()
    FigureCanvasAgg(figure)
    figure.savefig(buffer, format="png", dpi=dpi, metadata={"Software": None})
    return buffer.getvalue()


def distance_over_time(cells: Sequence[Cell], runs: Mapping[str, Run], runs_dir: Path) -> Figure:
    """Frechet distance of fresh chains against the training clock, log scale, one colour a table row.

    Line: mean over the seeds that ended well, each interpolated linearly in the logarithm on a common time, as far as
    all of them go. Band: their minimum and maximum. Runs that failed are thin lines that end in a cross. Rows without
    training (references) are horizontal lines at their final distance, with a band over seeds where they have any.
    """
    figure, axes = _figure()
    curves = {name: distance_curve(read_log(runs_dir / name)) for name in runs}
    end = max((x[-1] for x, _ in curves.values() if len(x)), default=1.0)
    unit, scale = ("h", 3600.0) if end > 2 * 3600 else ("min", 60.0) if end > 15 * 60 else ("s", 1.0)
    for index, (members, colour, dash) in enumerate(_styled(cells, runs)):
        good = [curves[c.run_name] for c in members if runs[c.run_name].ok and len(curves[c.run_name][0])]
        failed = [curves[c.run_name] for c in members if not runs[c.run_name].ok and len(curves[c.run_name][0])]
        _failed(axes, [(x / scale, y) for x, y in failed], colour, dash, None if good else _label(members, good))
        if good:
            x, low, mean, high = over_seeds(good, logarithmic=True)
            axes.fill_between(x / scale, low, high, color=colour, alpha=0.18, linewidth=0)
            marker = "o" if len(set(x)) == 1 else None  # a single evaluation makes no line
            label = _label(members, good)
            axes.plot(
                x / scale,
                mean,
                marker=marker,
                color=colour,
                linestyle=dash,
                linewidth=1.8,
                label=label,
                zorder=3 + index,
            )
    for title, distances in _references(cells, runs).items():
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
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.margins(y=0.08)
    axes.set_xlim(0, 1.02 * end / scale)
    axes.set_xlabel(f"training time ({unit})")
    axes.set_ylabel(_distance_name(runs))
    axes.set_title(KEY + _sample_counts(runs, runs_dir), fontsize=8, loc="left")
    return _with_legend(figure, axes)


def energy_gap(cells: Sequence[Cell], runs: Mapping[str, Run], runs_dir: Path) -> Figure:
    """E(negatives) - E(positives) against the training iteration, lines and bands as in `distance_over_time`.

    Curves are running means over a fiftieth of their length. The axis shows the central part of the values, so that one
    divergence does not flatten all else; what it leaves out is counted.
    """
    figure, axes = _figure()
    shown: list[Array] = []
    for members, colour, dash in _styled(cells, runs):
        curves = [(runs[c.run_name].ok, gap_curve(read_log(runs_dir / c.run_name))) for c in members]
        good = [curve for ok, curve in curves if ok and len(curve[0])]
        failed = [curve for ok, curve in curves if not ok and len(curve[0])]
        shown += [curve[1] for curve in good + failed]
        _failed(axes, failed, colour, dash, None if good else _label(members, good))
        if good:
            x, low, mean, high = over_seeds(good)
            axes.fill_between(x, low, high, color=colour, alpha=0.18, linewidth=0)
            marker = "o" if len(set(x)) == 1 else None  # a single point makes no line
            label = _label(members, good)
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
    return _with_legend(figure, axes)


def _sample_counts(runs: Mapping[str, Run], runs_dir: Path) -> str:
    """How many samples a point of the curves stands on, since the table's distances stand on others."""
    lines = (line for name in runs for line in read_log(runs_dir / name) if line.get("kind") == "evaluation")
    counts = sorted({line["n_fresh"] for line in lines if isinstance(line.get("n_fresh"), int)})
    return f"; {' or '.join(map(str, counts))} samples a point" if counts else ""


def _figure() -> tuple[Figure, Axes]:
    figure = Figure(figsize=(8.0, 4.5), layout="constrained")
    axes = figure.add_subplot()
    axes.grid(True, which="major", color="#e5e5e5", linewidth=0.7)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _failed(axes: Axes, curves: Sequence[Curve], colour: str, dash: str, label: str | None) -> None:
    """Runs that failed, as far as they went; `label` names them where their row has no other line."""
    for index, (x, y) in enumerate(curves):
        name = label if index == 0 else None
        axes.plot(x, y, color=colour, linestyle=dash, linewidth=0.8, alpha=0.7, label=name)
        axes.plot(x[-1:], y[-1:], "x", color=colour, markersize=6)


def _with_legend(figure: Figure, axes: Axes) -> Figure:
    if axes.get_legend_handles_labels()[1]:
        figure.legend(loc="outside right upper", frameon=False, fontsize=9)
    else:
        axes.text(0.5, 0.5, "no run has logged this yet", ha="center", transform=axes.transAxes)
    return figure


def _styled(cells: Sequence[Cell], runs: Mapping[str, Run]) -> list[tuple[list[Cell], str, str]]:
    """(cells, colour, dash) of every row with training; a row keeps its colour in all figures."""
    rows = [members for members in by_row(cells).values() if not all(is_reference(runs[c.run_name]) for c in members)]
    return [
        (members, COLOURS[i % len(COLOURS)], DASHES[i // len(COLOURS) % len(DASHES)]) for i, members in enumerate(rows)
    ]


def _label(members: Sequence[Cell], good: Sequence[Curve]) -> str:
    n = f"{len(good)}" if len(good) == len(members) else f"{len(good)}/{len(members)}"
    return f"{members[0].title} (n={n})"


def is_reference(run: Run) -> bool:
    """Whether a run that ended well had nothing to train (noise, held-out images)."""
    return run.ok and run.part("training").get("seconds") is None


def _references(cells: Sequence[Cell], runs: Mapping[str, Run]) -> dict[str, list[float]]:
    """Distances of each reference row, a number a seed."""
    found: dict[str, list[float]] = {}
    for cell in cells:
        run = runs[cell.run_name]
        value = run.part("metrics").get("fid_fresh")
        if is_reference(run) and value is not None and value > 0:
            found.setdefault(cell.title, []).append(float(value))
    return found


def _distance_name(runs: Mapping[str, Run]) -> str:
    spaces = feature_spaces([run for run in runs.values() if run.ok])
    if is_inception(spaces):
        return "FID, fresh chains"
    return f"Fréchet distance, fresh chains\n({' / '.join(spaces) or 'no'} features, not Inception FID)"
