"""Rows by others beside a table: those that compare, those that do not and why, and what is damaged."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from clel.runs.submission import submission_of, write_submission
from experiments.page.community import community
from experiments.sweep.store import load_records
from tests.experiments.conftest import FakeCell, FakeStore

EVIL = "<script>alert(1)</script>"


def test_what_compares_is_a_row_and_all_else_says_why(tmp_path: Path) -> None:
    store, place = FakeStore(tmp_path / "runs"), tmp_path / "community"
    mine, theirs = FakeCell("plain", "Plain EBM"), FakeCell("theirs", "Theirs")
    for cell in (mine, theirs):
        store.write(cell, 2.5)
        store.samples(cell)
    runs = list(load_records(store.runs_dir, [mine.run_name]).values())
    folder = store.runs_dir / theirs.run_name
    write_submission(submission_of(folder, EVIL, "Them", "https://example.org"), place)
    (place / "broken.json").write_text("{")
    found = community(runs, place)
    (row,) = found.rows
    assert (row.title, row.authors, row.distance, row.quality) == (EVIL, "Them", "2.50", "0.90 / 0.80")
    assert [file for file, _ in found.refused] == ["broken.json"] and "broken.json" not in found.refused[0][1]

    record = json.loads((folder / "record.json").read_text())
    record["protocol"] |= {"features_identity": "beef"}
    (folder / "record.json").write_text(json.dumps(record))
    write_submission(submission_of(folder, "Other features", "Them"), place)
    record["protocol"] |= {"reference_data": "cifar10"}
    (folder / "record.json").write_text(json.dumps(record))
    write_submission(submission_of(folder, "Another data set", "Them"), place)
    record["protocol"] |= {"features_identity": "f00d", "reference_data": None}
    record["metrics"] |= {"fid_fresh": -5.0}
    (folder / "record.json").write_text(json.dumps(record))
    write_submission(submission_of(folder, "Below zero", "Them"), place)
    found = community(runs, place)
    reasons = {file.split("-digits")[0]: reason for file, reason in found.refused}
    assert len(found.rows) == 1 and set(reasons) == {"broken.json", "other-features", "another-data-set", "below-zero"}
    assert "features_identity is beef, here f00d" in reasons["other-features"]
    assert reasons["another-data-set"] == "its data set is cifar10, this table's None"
    assert "its distance is -5.0" in reasons["below-zero"]


def test_another_version_does_not_compare(tmp_path: Path) -> None:
    store, cell = FakeStore(tmp_path / "runs"), FakeCell("plain", "Plain EBM")
    store.write(cell, 2.5)
    store.samples(cell)
    made = replace(submission_of(store.runs_dir / cell.run_name, "Mine", "Me"), suite="0.0.9")
    write_submission(made, tmp_path / "community")
    found = community(list(load_records(store.runs_dir, [cell.run_name]).values()), tmp_path / "community")
    assert found.rows == [] and "measured by version 0.0.9 of the suite" in found.refused[0][1]


def test_a_table_without_results_has_none(tmp_path: Path) -> None:
    assert community([], tmp_path).rows == ()
