"""The study's rows in one DataFrame, each with the commit, command and seconds of its run; and means over seeds."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from clel.runs.record import read_record
from clel.storage.atomic import naming_damage
from experiments.runs.chains.run import ROWS
from experiments.sweep.store import Declared

SETTING = ["restart", "cooldown"]
"""What differs between the trainings of a seed."""
LABELS = [*SETTING, "kind", "half_life", "noise", "steps"]
"""What a measurement is, besides its seed."""


def load_rows(cells: Sequence[Declared], runs: Path) -> pd.DataFrame:
    """The rows of every run that ended well, in the order of the cells; runs without are left out."""
    rows: list[dict[str, Any]] = []
    for cell in cells:
        record = read_record(runs / cell.run_name)
        if record is None or record["status"] != "ok":
            continue
        origin = {
            "cooldown": record["config"]["run"]["config"]["cooldown"],
            "features": record["protocol"]["features"],
            "train_seconds": record["training"]["seconds"],
            "git_sha": record["provenance"].get("git_sha"),
            "git_dirty": record["provenance"].get("git_dirty"),
            "command": record["provenance"].get("command"),
        }
        path = runs / cell.run_name / ROWS
        for number, line in enumerate(path.read_bytes().splitlines(), start=1):
            remedy = f"remove {path.with_name('record.json')} and it, and make chains measures that run again"
            with naming_damage(Path(f"{path}, line {number}"), remedy):
                rows.append(dict(json.loads(line)) | origin)
    table = pd.DataFrame(rows)
    first = [*SETTING, "seed"]
    return table[[*first, *table.columns.difference(first, sort=False)]] if rows else table


def by_chain_setting(rows: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """(name, rows) of each setting: by cool-down, then by restart rate."""
    keys: Any
    for keys, part in rows.groupby(["cooldown", "restart"], sort=True):
        cooldown, restart = keys
        yield f"{100 * restart:g} %" + (", cooled down" if cooldown else ""), part


def over_seeds(rows: pd.DataFrame, column: str) -> pd.DataFrame:
    """mean, min and max of a column over the seeds, one line for each combination of LABELS, these as columns."""
    return rows.groupby(LABELS, sort=True)[column].agg(["mean", "min", "max"]).reset_index()


def curve(rows: pd.DataFrame, column: str, kind: str, half_life: float, noise: float | None = None) -> pd.DataFrame:
    """over_seeds of one kind, weights and noise (the method's own by default) of one setting, by steps."""
    noise = own_noise(rows) if noise is None else noise
    chosen = rows[(rows["kind"] == kind) & (rows["half_life"] == half_life) & (rows["noise"] == noise)]
    return over_seeds(chosen, column).sort_values("steps")


def own_noise(rows: pd.DataFrame) -> float:
    """The noise of the method's own sampler."""
    return float(rows[rows["kind"] == "buffer"]["noise"].iloc[0])
