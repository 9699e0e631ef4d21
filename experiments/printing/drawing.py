"""What figures share: colours, dashes, axes, legend."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.text import Text
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

# Okabe and Ito's colours, told apart with every kind of colour vision; beyond the seventh row the dashes differ too
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
DASHES = ("-", "--", "-.", ":")
REFERENCE = "#666666"
COLUMN, PAGE = 3.3, 6.75
"""Inches of a paper's column, and of its page."""
_PAPERS = ContextVar("papers", default=False)
LETTERS, WRAPPED = 7.0, 34
"""Points of letters in a paper's figure, at the most; letters of a line of an axis' name."""


def png(figure: Figure, dpi: int = 150) -> bytes:
    """The figure as a PNG file; the same figure gives the same bytes."""
    buffer = io.BytesIO()
    FigureCanvasAgg(figure)
    figure.savefig(buffer, format="png", dpi=dpi, metadata={"Software": None})
    return buffer.getvalue()


@contextmanager
def papers(wanted: bool) -> Iterator[None]:
    """Inside, `drawn` makes PDFs too, if they are wanted."""
    token = _PAPERS.set(wanted)
    try:
        yield
    finally:
        _PAPERS.reset(token)


def drawn(name: str, figure: Figure) -> dict[str, bytes]:
    """The files of a figure: name.png for screens; inside `papers` name.pdf as well."""
    files = {f"{name}.png": png(figure)}
    return files | ({f"{name}.pdf": paper_pdf(figure)} if _PAPERS.get() else {})


def paper_pdf(figure: Figure) -> bytes:
    """The figure as a PDF at the width of a column, or of a page if it has several panels, its letters of 7 points.

    The figure is changed by it. The same figure gives the same bytes.
    """
    width, height = figure.get_size_inches()
    panels = sum(axes.get_visible() for axes in figure.axes)
    chosen = COLUMN if panels == 1 else PAGE
    beside = [legend for legend in figure.legends if legend.get_window_extent().width > 0]
    figure.set_size_inches(chosen, max(chosen * height / width, 2.6))
    for axes in figure.axes:
        axes.set_title("", loc="left")  # how to read it: the caption's matter
        axes.set_ylabel(textwrap.fill(" ".join(axes.get_ylabel().split()), WRAPPED))
    for legend in beside:  # beside the axes it would leave them little of a column
        handles, labels = (
            [handle for handle in legend.legend_handles if handle],
            [text.get_text() for text in legend.get_texts()],
        )
        title = legend.get_title().get_text() or None
        legend.remove()
        across: Any = {"ncols": 2 if chosen == COLUMN else 4, "title": title, "title_fontsize": LETTERS}
        figure.legend(handles, labels, loc="outside lower center", frameon=False, fontsize=LETTERS, **across)
    for text in figure.findobj(Text):
        text.set_fontsize(min(text.get_fontsize(), LETTERS))
    for line in figure.findobj(Line2D):
        line.set_linewidth(min(line.get_linewidth(), 1.2))
        line.set_markersize(min(line.get_markersize(), 4.0))
    buffer = io.BytesIO()
    figure.savefig(buffer, format="pdf", metadata={"CreationDate": None, "Producer": None, "Creator": None})
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
