"""A method that has another key than when its first runs were made: these are its own, and the old key is accepted."""

from __future__ import annotations

import json
from pathlib import Path

from baselines import METHODS
from clel.runs.config import load_config, resolve
from experiments.sweep.grid import table1_cells
from experiments.sweep.store import frame, load_records

RECORDS = Path("results/project/records")


def test_a_run_of_the_former_key_is_found_by_the_new_one(tmp_path: Path) -> None:
    old = sorted(RECORDS.glob("recovery_likelihood-digits-s0-*"))[0]
    values = json.loads((old / "record.json").read_text())
    assert values["method"] == values["config"]["method"] == "recovery_likelihood"
    folder = tmp_path / old.name
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(values["config"]))
    run = load_config(folder, METHODS)
    assert (run.method, run.name) == ("drl", old.name)
    assert frame(load_records(RECORDS, [old.name])).loc[old.name, "method"] == "drl"


def test_the_former_key_is_accepted() -> None:
    former, now = (resolve(METHODS, key, "quick") for key in ("recovery_likelihood", "drl"))
    assert former == now and now.method == "drl"
    assert {c.row for c in table1_cells("quick", rows=["recovery_likelihood"]) if c.run_name == now.name} == {"drl"}
