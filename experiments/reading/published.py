"""What the papers report: experiments/published.csv, one figure a row, each with its source.

Only a figure that was read in the source it names is *verified*, and only such a figure is ever printed as reported.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from clel.config import ConfigError
from experiments.reading.csv_rows import csv_rows

PUBLISHED = Path(__file__).parents[1] / "published.csv"
COLUMNS = ("dataset", "row", "method", "metric", "value", "unit", "source", "verified", "notes")
UNITS = {
    "fid": "FID",  # Frechet distance in Inception features
    "fd_dinov2": "FD",  # Frechet distance in features of DINOv2 ViT-L/14
    "parameters": "M",  # millions, as the source prints them
    "parameters_computed": "M",  # counted from the code, exact
    "hours": "h",  # training time on one RTX 3090 with 24 GB
    "memory": "GB",  # GPU memory of that training
    "hours_elsewhere": "h",  # training time on other hardware, named in the notes
}


@dataclass(frozen=True)
class Published:
    """One published figure.

    dataset: data set it was measured on. row: key of the configuration ("clel-base", ...). method: its name in the
    source. metric: a key of UNITS, "auroc_<data set>" or "p_<outcome>" (probability). value: the figure, in `unit`;
    printed: the same as its source prints it. source: the document and its table or figure. verified: whether it was
    read there. notes: what a reader must know beside it.
    """

    dataset: str
    row: str
    method: str
    metric: str
    value: float
    printed: str
    unit: str
    source: str
    verified: bool
    notes: str = ""

    def text(self) -> str:
        """The figure as its source prints it, followed by the word "unverified" unless it is verified."""
        return self.printed if self.verified else f"{self.printed} (unverified)"


Figures = Mapping[tuple[str, str, str], Published]
"""Published figures by (dataset, row, metric)."""


def load_published(path: Path = PUBLISHED) -> Figures:
    """Every figure of the file, verified or not, by (dataset, row, metric).

    Raises:
        ConfigError: a missing or unknown column, an empty cell, a value that is not a finite non-negative number, a
            unit that is not the metric's, a verified mark other than yes or no, or two rows for one figure.
    """
    figures: dict[tuple[str, str, str], Published] = {}
    for where, cells in csv_rows(path, COLUMNS):
        figure = _figure(cells, where)
        key = (figure.dataset, figure.row, figure.metric)
        if key in figures:
            raise ConfigError(f"{where}: a second figure for {' '.join(key)}; keep one, note the other in its notes")
        figures[key] = figure
    return figures


def reported(
    row: str | None, metric: str, dataset: str = "cifar10", figures: Figures | None = None
) -> Published | None:
    """The verified figure of a configuration, or None where the papers give none or it was not verified.

    row: key of the configuration, None for a row that no paper has. figures: by default experiments/published.csv.
    """
    if row is None:
        return None
    figure = (_default() if figures is None else figures).get((dataset, row, metric))
    return figure if figure is not None and figure.verified else None


def reported_for_all(metric: str, dataset: str, figures: Figures | None = None) -> list[Published]:
    """Every verified figure of one metric for a data set, in the order of the file."""
    held = (_default() if figures is None else figures).values()
    return [figure for figure in held if (figure.dataset, figure.metric) == (dataset, metric) and figure.verified]


@functools.lru_cache(maxsize=1)
def _default() -> Figures:
    return load_published()


def _unit(metric: str) -> str | None:
    if metric.startswith("auroc_"):
        return "AUROC"
    return "probability" if metric.startswith("p_") else UNITS.get(metric)


def _figure(cells: Mapping[str, str], where: str) -> Published:
    text = {name: cell.strip() for name, cell in cells.items()}
    for name in COLUMNS[:-1]:
        if not text[name]:
            raise ConfigError(f"{where}: column {name!r} is empty")
    try:
        value = float(text["value"])
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value >= 0):
        raise ConfigError(f"{where}: value {text['value']!r} is not a finite number of at least 0")
    if text["verified"] not in ("yes", "no"):
        raise ConfigError(f"{where}: verified is {text['verified']!r}; expected yes or no")
    unit = _unit(text["metric"])
    if text["unit"] != unit:
        known = f"known metrics: {', '.join(UNITS)}, auroc_*, p_*" if unit is None else f"expected {unit!r}"
        raise ConfigError(f"{where}: metric {text['metric']!r} with unit {text['unit']!r}; {known}")
    return Published(
        dataset=text["dataset"],
        row=text["row"],
        method=text["method"],
        metric=text["metric"],
        value=value,
        printed=text["value"],
        unit=unit,
        source=text["source"],
        verified=text["verified"] == "yes",
        notes=text["notes"],
    )
