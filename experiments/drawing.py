"""What the figures of a table share: colours, axes, legend, names, and the rows that get a horizontal line."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from experiments.curves import Curve
from experiments.headings import feature_spaces, is_fid
from experiments.store import Cell, Run
from experiments.tables import by_row

# Okabe and Ito's colours, told apart with every kind of colour vision; beyond the seventh row the dashes differ too
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
DASHES = ("-", "--", "-.", ":")
REFERENCE = "#666666"


def png(figure: Figure, dpi: int = 150) -> bytes:
    """The figure as a PNG file; the same figure gives the same bytes."""
    buffer = io.BytesIO()
    FigureCanvasAgg(figure)
    figure.savefig(buffer, format="png", dpi=dpi, metadata={"Software": None})
    return buffer.getvalue()


def new_figure() -> tuple[Figure, Axes]:
    figure = Figure(figsize=(8.0, 4.5), layout="constrained")
    axes = figure.add_subplot()
    axes.grid(True, which="major", color="#e5e5e5", linewidth=0.7)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def with_legend(figure: Figure, axes: Axes) -> Figure:
    if axes.get_legend_handles_labels()[1]:
        figure.legend(loc="outside right upper", frameon=False, fontsize=9)
    else:
        axes.text(0.5, 0.5, "no run has logged this yet", ha="center", transform=axes.transAxes)
    return figure


def styled(cells: Sequence[Cell], runs: Mapping[str, Run]) -> list[tuple[list[Cell], str, str]]:
    """(cells, colour, dash) of every row with training; a row keeps its colour in all figures."""
    rows = [members for members in by_row(cells).values() if not all(is_reference(runs[c.run_name]) for c in members)]
    return [
        (members, COLOURS[i % len(COLOURS)], DASHES[i // len(COLOURS) % len(DASHES)]) for i, members in enumerate(rows)
    ]


def row_label(members: Sequence[Cell], good: Sequence[Curve]) -> str:
    n = f"{len(good)}" if len(good) == len(members) else f"{len(good)}/{len(members)}"
    return f"{members[0].title} (n={n})"


def is_reference(run: Run) -> bool:
    """Whether a run that ended well had nothing to train (noise, held-out images)."""
    return run.ok and run.part("training").get("seconds") is None


def references(cells: Sequence[Cell], runs: Mapping[str, Run]) -> dict[str, list[float]]:
    """Distances of each reference row, a number a seed."""
    found: dict[str, list[float]] = {}
    for cell in cells:
        run = runs[cell.run_name]
        value = run.part("metrics").get("fid_fresh")
        if is_reference(run) and value is not None and value > 0:
            found.setdefault(cell.title, []).append(float(value))
    return found


def distance_name(runs: Mapping[str, Run]) -> str:
    spaces = feature_spaces([run for run in runs.values() if run.ok])
    if is_fid(spaces):
        return "FID, fresh chains"
    return f"Fréchet distance, fresh chains\n({' / '.join(spaces) or 'no'} features, not Inception FID)"


def log_distances(axes: Axes) -> None:
    """A logarithmic axis of distances with plain numbers."""
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.margins(y=0.08)


def log_steps(axes: Axes) -> None:
    """A logarithmic axis of numbers of steps, as it is where there is none above 0."""
    if any((np.asarray(line.get_xdata(), dtype=float) > 1).any() for line in axes.lines):
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
        axes.xaxis.set_minor_formatter(NullFormatter())


def draw_references(axes: Axes, cells: Sequence[Cell], runs: Mapping[str, Run]) -> None:
    """A horizontal line and its name for every row without training, with a band over its seeds."""
    for title, distances in references(cells, runs).items():
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
