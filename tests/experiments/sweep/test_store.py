"""Records in and out: round trip, everything that can be wrong with one, and the data frame."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from clel.runs.record import write_record
from clel.storage.atomic import write_atomically
from experiments.sweep.store import frame, load_records


def test_round_trip_without_bare_nan(fake: Any) -> None:
    (cell,) = fake.cells("a", "A")
    run_dir = fake.write(cell, math.nan)
    assert "NaN" not in (run_dir / "record.json").read_text()
    run = load_records(fake.runs_dir, [cell.run_name])[cell.run_name]
    assert run.ok
    assert run.reason is None
    assert run.part("metrics")["fid_fresh"] is None
    assert run.part("training")["parameters"] == 57345
    assert [path.name for path in run_dir.iterdir()] == ["record.json"]


def test_missing_and_unfinished_runs(fake: Any) -> None:
    (fake.runs_dir / "started").mkdir(parents=True)
    (fake.runs_dir / "started" / "config.json").write_text("{}")
    (fake.runs_dir / "empty").mkdir()
    runs = load_records(fake.runs_dir, ["started", "empty", "never"])
    assert [run.status for run in runs.values()] == ["unfinished", "missing", "missing"]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"schema": 1}, "schema 1; this version reads 2"),
        ({"name": "b-digits-s0-0a1b2c3d"}, "it is the record of 'b-digits-s0-0a1b2c3d'"),
        ({"status": "fine"}, "status 'fine'; known: ok, diverged"),
        ({"seed": "0"}, "seed must be a whole number"),
        ({"method": None}, "method is None; expected text"),
        ({"metrics": [1]}, "metrics is not a table"),
        ({"protocol": None}, "protocol is not a table"),
        ({"metrics": {"fid_fresh": "low"}}, "fid_fresh is 'low'; expected a finite number or null"),
        ({"metrics": {"classes_fresh": 9.5}}, "classes_fresh is 9.5; expected a whole number"),
        ({"training": {"iterations": True}}, "iterations is True; expected a finite number"),
        ({"training": {"images": 10**30}}, "expected a finite number"),
    ],
)
def test_wrong_records_are_refused_on_writing_and_named_on_reading(fake: Any, changes: dict, reason: str) -> None:
    (cell,) = fake.cells("a", "A")
    record = fake.record(cell) | changes
    with pytest.raises(ValueError, match="not a record of schema 2") as error:
        write_record(fake.runs_dir / cell.run_name, record)
    assert reason in str(error.value)
    path = fake.runs_dir / cell.run_name / "record.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(record))
    run = load_records(fake.runs_dir, [cell.run_name])[cell.run_name]
    assert run.status == "unreadable"
    assert run.record == {}
    assert run.reason is not None
    assert run.reason.startswith(f"{cell.run_name}/record.json: ")
    assert reason in run.reason


@pytest.mark.parametrize(
    "content", [b"", b'{"schema": 2', b"\xff\xfe", b"[]", b'{"schema": NaN}', b'{"schema": 2}', b"[" * 100_000]
)
def test_damaged_records_are_named(fake: Any, content: bytes) -> None:
    (cell,) = fake.cells("a", "A")
    (fake.write(cell) / "record.json").write_bytes(content)
    run = load_records(fake.runs_dir, [cell.run_name])[cell.run_name]
    assert run.status == "unreadable"
    assert str(run.reason).startswith(f"{cell.run_name}/record.json: ")
    assert frame({cell.run_name: run}).loc[cell.run_name, "status"] == "unreadable"


def test_infinite_number_is_not_a_metric(fake: Any) -> None:
    (cell,) = fake.cells("a", "A")
    path = fake.write(cell) / "record.json"
    path.write_text(path.read_text().replace("3.0", "1e999"))
    assert "finite" in str(load_records(fake.runs_dir, [cell.run_name])[cell.run_name].reason)


def test_frame_has_one_numeric_row_a_run(fake: Any, grid: list) -> None:
    names = [cell.run_name for cell in grid]
    table = frame(load_records(fake.runs_dir, names))
    assert list(table.index) == names
    assert table["fid_fresh"].dtype == float
    assert table["seconds"].dtype == float
    assert table["parameters"].dtype == "Int64"
    assert table["classes_fresh"].dtype == "Int64"
    assert table.loc[names[0], "fid_fresh"] == 98.7
    assert pd.isna(table.loc[names[0], "parameters"])
    assert table.loc[names[0], "protocol_n_real"] == 1347
    assert table.loc[names[0], "provenance_device"] == "cpu"
    assert table.loc["a-digits-s2-0a1b2c3d", "status"] == "missing"
    assert not any(column.startswith("config") for column in table.columns)


def test_frame_of_nothing() -> None:
    assert len(frame({})) == 0


def test_interrupted_write_keeps_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "new" / "file.txt"
    write_atomically(path, "old")

    def fail(*_: object) -> None:
        raise OSError("disk")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="disk"):
        write_atomically(path, "new")
    assert path.read_text() == "old"
    assert [p.name for p in path.parent.iterdir()] == ["file.txt"]
