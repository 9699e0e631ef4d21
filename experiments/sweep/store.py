"""Run directories <-> records <-> one pandas DataFrame.

A run is a directory `<runs>/<method>-<dataset>-s<seed>-<hash8>/` with config.json, log.jsonl, evaluations/, samples.png
and record.json. The record is written last and at once (a rename), so a directory with a record is a run that ended.
Whatever is wrong with one run is that run's status and reason, never an exception that takes the table with it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Protocol, TypeVar

import pandas as pd

from baselines import METHODS
from clel.config import ConfigError, essential, identity
from clel.methods.settings import EvaluateConfig, TrainConfig
from clel.runs.config import as_run, current
from clel.runs.record import stands
from clel.runs.schema import LABELS, WHOLE, record_fault
from clel.storage.lock import look


class Declared(Protocol):
    """One run of the declared grid, as far as tables and figures need it.

    row: key that the seeds of one table row share ("clel"). title: how that row is called in print. run_name: its run
    directory. published: its key in experiments/published.csv, None where the papers have no such row. evaluate: how it
    is to be measured; None for any way. note: a footnote of its row, "" for none.
    """

    @property
    def row(self) -> str: ...
    @property
    def title(self) -> str: ...
    @property
    def dataset(self) -> str: ...
    @property
    def seed(self) -> int: ...
    @property
    def profile(self) -> str: ...
    @property
    def run_name(self) -> str: ...
    @property
    def published(self) -> str | None: ...
    @property
    def evaluate(self) -> EvaluateConfig | None: ...
    @property
    def note(self) -> str: ...


C = TypeVar("C", bound=Declared)

AT_WORK = "a process is at work on it"
"""The reason of a run without a record that a process holds."""


@dataclass(frozen=True)
class Stored:
    """What the store knows of one run.

    status: that of its record, or "missing" (never started), "unfinished" (started, no record yet) or "unreadable"
    (a record that is damaged or of another schema). reason: one line for a reader where the status is not "ok".
    record: the parsed record.json, empty where there is none to trust. folder: where its files are. project: whether it
    is one of the project's own runs in a table that is not the project's.
    """

    name: str
    status: str
    reason: str | None = None
    record: Mapping[str, Any] = field(default_factory=dict)
    folder: Path = Path()
    project: bool = False

    @property
    def ok(self) -> bool:
        """Whether the run ended as it should and its metrics stand."""
        return self.status == "ok"

    @property
    def samples(self) -> str | None:
        """The array file of its fresh samples, below the run's directory; None where the record names none."""
        folder = (self.part("evaluations").get("fresh") or {}).get("folder")
        return f"{folder}/samples.npy" if folder else None

    def part(self, name: str) -> Mapping[str, Any]:
        """One table of the record ("metrics", "training", ...); empty where it has none."""
        return self.record.get(name) or {}


def is_reference(run: Stored) -> bool:
    """Whether a run that ended well had nothing to train (noise, held-out images)."""
    return run.ok and run.part("training").get("seconds") is None


def by_row(cells: Iterable[C]) -> dict[str, list[C]]:
    """The cells of each row of a table, in the order of the grid."""
    rows: dict[str, list[C]] = {}
    for cell in cells:
        rows.setdefault(cell.row, []).append(cell)
    return rows


def load_cells(runs_dir: Path, cells: Iterable[Declared], kept: Mapping[str, Path] | None = None) -> dict[str, Stored]:
    """The runs of these cells; one that was measured in another way than its cell asks has no result yet.

    kept: by name, runs that are read from a folder of the project's records instead of runs_dir.
    """
    found = {}
    for cell in cells:
        place = (kept or {}).get(cell.run_name)
        run = _load(place or runs_dir / cell.run_name)
        if place and place.parents[1].resolve() != runs_dir.parent.resolve():
            run = replace(run, project=True)
        asked = cell.evaluate
        if run.ok and asked is not None and not stands(run.record, asked):
            why = "not measured yet as this table asks; it was, in another way"
            run = replace(run, status="unfinished", reason=why, record={})
        found[run.name] = run
    return found


def load_records(runs_dir: Path, names: Iterable[str]) -> dict[str, Stored]:
    """The runs of these names, in this order, each exactly once; a run without a good record says why it has none."""
    return {name: _load(runs_dir / name) for name in names}


def frame(runs: Mapping[str, Stored]) -> pd.DataFrame:
    """One row a run, indexed by name: what was run, status, reason, metrics, training, protocol_*, provenance_*; and
    project, where runs of the project stand in another table.

    Metrics and training costs are numeric columns (NaN where a run has none), counts whole numbers that may be <NA>.
    The resolved configuration stays in the record; `settings` is a hash of it (see there).
    """
    rows = []
    for run in runs.values():
        row: dict[str, Any] = {key: run.record.get(key) for key in ("name", "method", "preset", "dataset", "seed")}
        row["method"] = row["method"] and current(METHODS, row["method"])
        row |= {"hash": run.record.get("hash"), "settings": settings(run.record)}
        row |= {
            "name": run.name,
            "status": run.status,
            "reason": run.reason,
            **run.part("metrics"),
            **run.part("training"),
        }
        if run.project:
            row["project"] = True
        row |= {f"{p}_{key}": value for p in ("protocol", "provenance") for key, value in run.part(p).items()}
        rows.append(row)
    table = pd.DataFrame(rows, columns=None if rows else ["name", "status", "reason"]).set_index("name")
    numbers = {key for run in runs.values() for part in ("metrics", "training") for key in run.part(part)} - LABELS
    for column in table.columns:
        if column in WHOLE:
            table[column] = pd.to_numeric(table[column]).astype("Int64")
        elif column in numbers:
            table[column] = pd.to_numeric(table[column]).astype(float)
    return table


def settings(record: Mapping[str, Any]) -> str | None:
    """Eight hex digits for all that a trained run's numbers hang on but its seed, its engine and how it is measured.

    Runs that differ in nothing else share them. None for rows without training.
    """
    values = record.get("config") or {}
    if not {"method", "config", "train"} <= values.keys():
        return None
    # as it is where its method is not installed here, or there are its settings no longer
    with suppress(ConfigError):
        values = essential(as_run(values, METHODS))
    own = {name: value for name, value in values["config"].items() if name != "engine"}
    names = {f.name for f in fields(TrainConfig) if f.metadata.get("identity", True)}
    train = {name: value for name, value in values["train"].items() if name in names}
    return identity({"method": values["method"], "dataset": values.get("dataset"), "config": own, "train": train})


def _load(run_dir: Path) -> Stored:
    path, name = run_dir / "record.json", run_dir.name
    if not path.is_file():
        started = run_dir.is_dir() and any(run_dir.iterdir())
        status, reason = ("unfinished", "no record yet") if started else ("missing", "not run")
        if started and look(run_dir).held:
            reason = AT_WORK
        return Stored(name, status, reason, folder=run_dir)
    try:
        record = json.loads(path.read_text(encoding="utf-8"), parse_constant=_refuse_constant)
        wrong = record_fault(record, name)
    except (ValueError, OSError, RecursionError) as error:
        wrong = f"not readable as JSON ({error})"
    if wrong:
        return Stored(name, "unreadable", f"{name}/{path.name}: {wrong}", folder=run_dir)
    return Stored(name, record["status"], record["reason"], record, run_dir)


def _refuse_constant(text: str) -> None:
    raise ValueError(f"bare {text}, which JSON does not have")
