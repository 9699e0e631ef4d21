"""Images inside a page: sample grids pixel by pixel, and figures as they were drawn, as data of their own."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from clel.evaluation.evaluate import CHAINS
from experiments.reading.samples import SHOWN, read_samples
from experiments.sweep.store import Declared, Stored, by_row
from experiments.table1.samples import sheet

LARGEST = 400_000
"""Bytes of a figure beyond which a page links to it: a page stays below 5 MB."""


@dataclass(frozen=True)
class SampleGrid:
    """The first samples of a row's first run that ended well. source: data URI of a PNG, a pixel a pixel."""

    title: str
    about: str
    source: str


@dataclass(frozen=True)
class Figure:
    """A figure of a folder: its data URI, or its path from the page where it is large."""

    name: str
    source: str


def grids(cells: Sequence[Declared], runs: Mapping[str, Stored]) -> list[SampleGrid]:
    """The sample grids of all rows that have one, in the table's order."""
    found = []
    for members in by_row(cells).values():
        good = [runs[cell.run_name] for cell in members if runs[cell.run_name].ok]
        if not good or good[0].samples is None:
            continue
        try:
            images = read_samples(good[0].folder / good[0].samples)[:SHOWN]
        except ValueError:
            continue
        distance = good[0].part("metrics").get("fid_fresh")
        shown = f", distance {distance:.2f}" if isinstance(distance, float) else ""
        found.append(SampleGrid(members[0].title, f"seed {good[0].record.get('seed')}{shown}", _png(sheet(images))))
    return found


def figures(folder: Path) -> list[Figure]:
    """The PNG figures of a results folder, in the order of their names."""
    found = []
    for path in sorted([*folder.glob("*.png"), *folder.glob("figures/*.png")]):
        if not path.is_file():
            continue
        name = path.stem.replace("_", " ")
        data = path.read_bytes()
        inside = len(data) <= LARGEST
        found.append(Figure(name, _uri(data) if inside else path.relative_to(folder).as_posix()))
    return found


def over_training(run: Stored, most: int = 12) -> list[tuple[str, str]]:
    """(iteration, data URI) of sample grids that training left, evenly `most` of them; the final one alone without."""
    held = sorted(path for path in run.folder.glob("samples/fresh-*.png") if path.is_file())
    chosen = held[:: max(1, -(-len(held) // most))]
    found = [(path.stem.partition("-")[2].lstrip("0") or "0", _uri(path.read_bytes())) for path in chosen]
    if run.samples is not None:
        with suppress(ValueError):
            found.append(("end", _png(sheet(read_samples(run.folder / run.samples)[:SHOWN]))))
    return found


def on_their_way(run: Stored) -> str:
    """The data URI of the picture of chains from noise to sample; "" where the run has none."""
    path = run.folder / Path(run.samples or "").with_name(CHAINS) if run.samples else Path()
    return _uri(path.read_bytes()) if path.is_file() else ""


def _png(pixels: NDArray[np.uint8]) -> str:
    array = pixels.squeeze(-1) if pixels.shape[-1] == 1 else pixels
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, format="png", optimize=True)
    return _uri(buffer.getvalue())


def _uri(data: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(data).decode()}"
