"""The hours that a run is expected to take, and where they come from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from clel.runs.config import Run
from clel.runs.record import read_record
from clel.storage.log import counted
from experiments.slurm.resources import Needs, needs_of
from experiments.slurm.traces import last_logged
from experiments.sweep.grid import Cell


@dataclass(frozen=True)
class Hours:
    """Hours of one run, and their source in words."""

    hours: float
    source: str


def hours_of(cell: Cell, row: Sequence[Cell], runs: Path, needs: Mapping[tuple[str, str], Needs]) -> Hours:
    """Of the cell: its minutes, where it is trained for a time; what runs of its row took here; else the table's.

    row: all cells of the table's row, whose finished runs, or else those that have begun, tell of the others.
    """
    if not isinstance(cell.run, Run):
        return _declared(cell, needs)
    if cell.run.train.minutes:
        return Hours(round(cell.run.train.minutes / 60, 3), "its minutes of training")
    records = [record for c in row if (record := read_record(runs / c.run_name)) and record["status"] == "ok"]
    taken = [record["training"]["seconds"] for record in records]
    if taken:
        devices = ", ".join(sorted({str(record["provenance"].get("device")) for record in records}))
        return _measured(taken, f"measured: training of {counted(len(taken), 'run')} here on {devices}")
    rates = [rate for c in row if (rate := _rate(runs / c.run_name))]
    if rates:
        whole = [rate * cell.run.train.iterations for rate in rates]
        return _measured(whole, f"measured: the rate of {counted(len(rates), 'run')} here that began training")
    return _declared(cell, needs)


def _declared(cell: Cell, needs: Mapping[tuple[str, str], Needs]) -> Hours:
    need = needs_of(cell, needs)
    return Hours(need.hours, need.source)


def _measured(seconds: Sequence[float], source: str) -> Hours:
    return Hours(float(f"{sum(seconds) / len(seconds) / 3600:.3g}"), source)


def _rate(folder: Path) -> float:
    """Seconds of an iteration so far, by the run's log; 0 where it has not trained."""
    trained = [line for line in last_logged(folder) if line.get("kind") == "train" and line.get("iteration")]
    return trained[-1]["seconds"] / trained[-1]["iteration"] if trained else 0.0
