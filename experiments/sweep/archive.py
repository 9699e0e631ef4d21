"""Runs in short, to be kept in git: what tables and figures show of the project's own, which nobody need train again.

`<OUT>/records/<run>/` has of a run's folder its record, a part of its log, the first of its samples and what artefacts
measured on it, each under the name that it has there, so that whatever reads the one reads the other.
"""

from __future__ import annotations

import io
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from clel.data import load
from clel.data.registry import is_name, located
from clel.evaluation.evaluate import CHAINS
from clel.runs.record import FINAL, read_record, write_record
from clel.storage.atomic import write_atomically
from clel.storage.log import read_log
from experiments.reading.samples import SHOWN, read_samples
from experiments.runs.external import ExternalRun
from experiments.sweep.grid import Cell
from experiments.sweep.launch import has_result
from experiments.sweep.naming import PROJECT
from experiments.sweep.store import Stored, load_cells

FOLDER = "records"
RECORDS = PROJECT / FOLDER
MEASURED = "measured"
"""Folder of a run that artefacts keep their measurements in (experiments/measured)."""
LINES = 100
"""Lines on training that are kept of a log; the figure draws running means over a fiftieth of them."""
DRAWN = ("kind", "iteration", "energy_positive", "energy_negative")
"""What is kept of such a line."""


def archive(cells: Sequence[Cell], runs: Path, place: Path) -> list[Path]:
    """Write into `place` the runs of these cells that ended and were measured as asked; returns their folders.

    Left out are samples by others, which are their own to keep, and cells of which another run is kept: tables show it.
    """
    kept = []
    for cell, run in zip(cells, load_cells(runs, cells).values(), strict=True):
        there = read_record(place / run.name) if has_result(cell, place) else run.record
        same = (there or {}).get("provenance") == run.record.get("provenance")
        if run.status in FINAL and same and not isinstance(cell.run, ExternalRun):
            _keep(run, place / run.name)
            kept.append(place / run.name)
    return kept


def archive_in_words(cells: Sequence[Cell], runs: Path, out: Path) -> str:
    """Write them into OUT/records; what to say of it."""
    done = archive(cells, runs, out / FOLDER)
    return f"{len(done)} of {len(cells)} runs are kept, as they are now, in {out / FOLDER}"


def archived(cells: Sequence[Cell], runs: Path) -> dict[str, Path]:
    """By run name the folder in RECORDS, of each cell that has no result in `runs` and one there.

    With them, for their reason, those that have nothing in `runs`, and there what is damaged or was measured otherwise.
    Not those of other images than a data set's path has here.
    """
    missing = [cell for cell in cells if not has_result(cell, runs) and (RECORDS / cell.run_name).is_dir()]
    shown = [cell for cell in missing if has_result(cell, RECORDS) or not (runs / cell.run_name).exists()]
    return {cell.run_name: RECORDS / cell.run_name for cell in shown if _same_images(cell)}


def _same_images(cell: Cell) -> bool:
    """Whether the kept run of the cell was measured on the images that are here; so too where none are."""
    if is_name(cell.dataset) or located(cell.dataset) is None:
        return True
    known = ((read_record(RECORDS / cell.run_name) or {}).get("protocol") or {}).get("reference_images")
    return known in (None, _content(cell.dataset, cell.measured.reference))


@cache
def _content(dataset: str, split: str) -> str:
    return replace(load(dataset, split), labels=None).content_hash()


def not_kept(cells: Sequence[Cell], kept: Mapping[str, Path]) -> list[Cell]:
    """The cells that no kept run stands for."""
    return [cell for cell in cells if not (cell.run_name in kept and has_result(cell, kept[cell.run_name].parent))]


def thinned(log: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The log with at most LINES lines on training, equally far apart, the last among them; the other lines whole."""
    train = [line for line in log if line.get("kind") == "train"]
    every = max(1, math.ceil(len(train) / LINES))
    chosen = {id(line) for line in train[::-1][::every]}
    lines = [line for line in log if line.get("kind") != "train" or id(line) in chosen]
    return [{k: v for k, v in line.items() if k in DRAWN or line.get("kind") != "train"} for line in lines]


def _keep(run: Stored, folder: Path) -> None:
    if log := thinned(read_log(run.folder)):
        write_atomically(folder / "log.jsonl", "".join(json.dumps(line) + "\n" for line in log))
    if run.samples and (run.folder / run.samples).is_file():
        content = io.BytesIO()
        np.save(content, read_samples(run.folder / run.samples)[:SHOWN])
        write_atomically(folder / run.samples, content.getvalue())
        way = Path(run.samples).with_name(CHAINS)
        if (run.folder / way).is_file():
            write_atomically(folder / way, (run.folder / way).read_bytes())
    for path in sorted((run.folder / MEASURED).glob("*.*")):
        write_atomically(folder / MEASURED / path.name, path.read_bytes())
    write_record(folder, dict(run.record))
