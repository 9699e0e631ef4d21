"""Sample grids side by side: one panel a table row, from the images that its first good run left behind."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from clel.data.image_grid import tile
from experiments.reading.samples import SHOWN, read_samples
from experiments.sweep.store import Declared, Stored, by_row
from experiments.table1.table import failures

COLUMNS = 5  # panels beside each other
GAP = 128  # grey, which neither a black nor a white image border runs into


def sheet(images: NDArray[np.uint8], gap: int = 1) -> NDArray[np.uint8]:
    """[N, C, H, W] -> one image [rows (H + gap) - gap, columns (W + gap) - gap, C], grey between them."""
    tiled = tile(torch.from_numpy(images), math.ceil(math.sqrt(len(images))), gap, GAP)
    return tiled[:, gap:-gap, gap:-gap].permute(1, 2, 0).numpy()


def sample_grids(cells: Sequence[Declared], runs: Mapping[str, Stored]) -> Figure:
    """One panel a table row with up to 64 samples of its first run that ended well, titled with that run's distance.

    The samples are the run's first ones, not chosen. A row without a good run says why.
    """
    rows = list(by_row(cells).values())
    lines = math.ceil(len(rows) / COLUMNS)
    columns = math.ceil(len(rows) / lines)
    figure = Figure(figsize=(2.5 * columns, 3.0 * lines))
    figure.set_layout_engine("constrained", w_pad=0.06, h_pad=0.08)
    for index, members in enumerate(rows):
        axes = figure.add_subplot(lines, columns, index + 1)
        axes.set_xticks([])
        axes.set_yticks([])
        axes.spines[:].set_visible(False)
        _panel(axes, members, runs)
    return figure


def _panel(axes: Axes, members: Sequence[Declared], runs: Mapping[str, Stored]) -> None:
    good = [cell for cell in members if runs[cell.run_name].ok]
    title = members[0].title
    try:
        if not good:
            raise ValueError(failures(members, runs))
        name = runs[good[0].run_name].samples
        if name is None:
            raise ValueError("no samples on record")
        images = read_samples(runs[good[0].run_name].folder / name)
    except ValueError as error:
        axes.set_title(title, fontsize=10)
        axes.set_aspect("equal")
        axes.text(0.5, 0.5, _wrapped(str(error)), ha="center", va="center", fontsize=8, transform=axes.transAxes)
        return
    distance = runs[good[0].run_name].part("metrics").get("fid_fresh")
    under = "no distance" if distance is None else f"distance {distance:.2f}"
    axes.set_title(f"{title}\n{under}" + (f" (seed {good[0].seed})" if len(members) > 1 else ""), fontsize=10)
    shown = sheet(images[:SHOWN], gap=max(1, images.shape[-1] // 16))
    axes.imshow(
        shown.squeeze(-1) if shown.shape[-1] == 1 else shown, cmap="gray", vmin=0, vmax=255, interpolation="nearest"
    )


def _wrapped(text: str, width: int = 32, lines: int = 9) -> str:
    """The text in lines of at most `width` letters; what is over the last line is cut with an ellipsis."""
    # a dollar sign would start matplotlib's formula mode
    return "\n".join(textwrap.wrap(text.replace("$", r"\$"), width, max_lines=lines, placeholder=" …"))
