"""The figures: a heat map a triple, as the paper's Figure 4b, and samples as more is asked for."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from experiments.compositional.asked import Triple, subsets
from experiments.compositional.rows import Rows, share
from experiments.table1.samples import sheet

ACROSS = 3
"""Heat maps beside each other."""


def heat_maps(rows: Rows, triples: Sequence[Triple]) -> Figure:
    """A panel a triple: its 8 subsets, and the share of samples that show each value, and all that is asked."""
    lines = math.ceil(len(triples) / ACROSS)
    across = min(ACROSS, len(triples))
    figure = Figure(figsize=(3.8 * across, 3.0 * lines), layout="constrained")
    for number, triple in enumerate(triples):
        axes = figure.add_subplot(lines, across, number + 1)
        asked = subsets(triple)
        shares = np.array(
            [[share(rows, a, v) for v in triple] + [rows[a].all if a and a in rows else None] for a in asked],
            dtype=float,
        )
        axes.imshow(shares, vmin=0, vmax=1, cmap="viridis", aspect="auto")
        axes.set_xticks(range(4), [*triple, "all asked"], fontsize=7)
        axes.set_yticks(range(len(asked)), [", ".join(a) or "nothing" for a in asked], fontsize=7)
        for (y, x), value in np.ndenumerate(shares):
            if not math.isnan(value):
                axes.text(x, y, f"{value:.2f}", ha="center", va="center", fontsize=7, color="wk"[int(value > 0.6)])
    figure.suptitle("share of samples that show a value (column) where these were asked for (row)", fontsize=9)
    return figure


def sample_sheets(
    kept: NDArray[np.uint8] | None, every: Sequence[tuple[str, ...]], triples: Sequence[Triple]
) -> Figure:
    """A line a triple: the first samples, not chosen, where nothing, one, two and three attributes were asked for.

    kept: uint8 [N, C, H, W], equally many of each of `every` condition, in their order.
    """
    each = 0 if kept is None else len(kept) // len(every)
    figure = Figure(figsize=(8.0, 2.3 * len(triples)), layout="constrained")
    panels = figure.subplots(len(triples), 4, squeeze=False)
    for line, triple in zip(panels, triples, strict=True):
        for axes, asked in zip(line, ((), triple[:1], triple[:2], triple), strict=True):
            axes.set_axis_off()
            axes.set_title(", ".join(asked) or "nothing", fontsize=8)
            if kept is None:
                axes.text(0.5, 0.5, "no samples kept", ha="center", fontsize=8, transform=axes.transAxes)
                continue
            first = every.index(tuple(asked)) * each
            axes.imshow(sheet(kept[first : first + each], gap=1), interpolation="nearest")
    return figure
