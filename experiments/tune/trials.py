"""Every trial as a row of tuning.csv, and the choice that follows from the rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from clel.config import ConfigError, identity
from experiments.reading.csv_rows import csv_rows, lines_as_csv
from experiments.sweep.grid import Cell
from experiments.sweep.store import Stored, by_row

KEPT = Path(__file__).parents[1] / "tuning.csv"
"""The project's own trials."""


@dataclass(frozen=True)
class Trial:
    """One training of one trial; texts and numbers as the run's record has them, "" for what it has not.

    run: the run's name, which stands for its settings. measured: identity of the EvaluateConfig.
    """

    profile: str
    row: str
    seed: str
    run: str
    measured: str
    status: str
    reason: str
    distance: str
    n_fake: str
    reference: str
    n_real: str
    features_identity: str
    iterations: str
    gradient_evaluations: str
    seconds: str
    divergences: str
    engine: str
    device: str
    git_sha: str
    git_dirty: str
    finished: str

    @property
    def score(self) -> float | None:
        """The distance of a run that ended well."""
        return float(self.distance) if self.status == "ok" and self.distance else None


COLUMNS = tuple(f.name for f in fields(Trial))


@dataclass(frozen=True)
class Scored:
    """A trial over its seeds. score: the mean distance, None unless every seed ended well. spread: of all that did."""

    row: str
    title: str
    trials: tuple[Trial | None, ...]
    score: float | None
    spread: float | None

    @property
    def complete(self) -> bool:
        """Whether every seed was trained, whatever it came to."""
        return all(trial is not None for trial in self.trials)


def read_trials(path: Path) -> dict[str, Trial]:
    """The trials of a tuning.csv by the name of their run; none where there is no such file.

    Raises:
        ConfigError: other columns, or a distance that is no number.
    """
    if not path.is_file():
        return {}
    found = {}
    for where, cells in csv_rows(path, COLUMNS):
        trial = Trial(**cells)
        try:
            _ = trial.score
        except ValueError as error:
            raise ConfigError(f"{where}: distance: {error}; make tune KEEP=1 AFRESH=1 writes it anew") from None
        found[trial.run] = trial
    return found


def kept_of(cells: Iterable[Cell], trials: Mapping[str, Trial]) -> dict[str, Trial]:
    """Of the trials those of these cells, by the run's name, as far as they were measured as the cells are now."""
    found = ((cell, trials.get(cell.run_name)) for cell in cells)
    return {c.run_name: t for c, t in found if t is not None and t.measured == identity(c.measured)}


def as_csv(trials: Iterable[Trial]) -> str:
    """The text of a tuning.csv."""
    return lines_as_csv(trials, Trial)


def trial_of(cell: Cell, run: Stored) -> Trial:
    """The row of a run that ended."""
    metrics, training, protocol = run.part("metrics"), run.part("training"), run.part("protocol")
    origin = run.part("provenance")
    values: dict[str, Any] = {
        "profile": cell.profile,
        "row": cell.row,
        "seed": cell.seed,
        "run": cell.run_name,
        "measured": identity(cell.measured),
        "status": run.status,
        "reason": run.reason,
        "distance": metrics.get("fid_fresh"),
        **{name: protocol.get(name) for name in ("n_fake", "reference", "n_real", "features_identity", "engine")},
        **{name: training.get(name) for name in ("iterations", "gradient_evaluations", "seconds", "divergences")},
        **{name: origin.get(name) for name in ("device", "git_sha", "git_dirty", "finished")},
    }
    return Trial(**{name: "" if value is None else " ".join(str(value).split()) for name, value in values.items()})


def scored(cells: Sequence[Cell], trials: Mapping[str, Trial]) -> list[Scored]:
    """Every trial of the cells in their order; those that were not trained are missing in its `trials`."""
    found = []
    for row, members in by_row(cells).items():
        own = tuple(trials.get(cell.run_name) for cell in members)
        good = [trial.score for trial in own if trial is not None and trial.score is not None]
        score = mean(good) if len(good) == len(members) else None
        found.append(Scored(row, members[0].title, own, score, stdev(good) if len(good) > 1 else None))
    return found


def best(rows: Sequence[Scored]) -> Scored | None:
    """The trial of one method that the rule chooses; None while any is not complete, or where none ended well."""
    possible = [row for row in rows if row.score is not None]
    if not possible or not all(row.complete for row in rows):
        return None
    return min(possible, key=lambda row: row.score or 0.0)
