"""METHODS in any order and with repeats is one table, with one folder and one command."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from experiments.cli import main
from experiments.sweep.grid import table1_cells
from experiments.sweep.naming import in_order
from experiments.table1 import command as table1
from experiments.table1.command import Table1


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("", ""),
        ("clel", "clel"),
        ("plain,clel", "plain,clel"),
        ("clel, plain", "plain,clel"),
        ("plain,plain,", "plain"),
        ("igebm,plain,drl,clel", "igebm,plain,drl,clel"),
        ("clel:large,clel:multiscale", "clel:multiscale,clel:large"),
        ("clel:quick", "clel:quick"),
        ("clel:quick,clel", "clel"),
        ("clel:large,clel", "clel,clel:large"),
        ("clel:+batch,plain", "plain,clel:+batch"),
        ("clel:+batch,clel", "clel"),
        ("cell,plain", "plain,cell"),
        ("recovery_likelihood:paper,clel", "drl:paper,clel"),
    ],
)
def test_each_row_once_and_in_the_order_of_the_tables(given: str, kept: str) -> None:
    assert in_order(given, "quick", ["clel:+batch"]) == kept


def test_a_row_that_is_asked_for_twice_is_one() -> None:
    once, twice = (table1_cells("quick", rows=rows) for rows in (["clel"], ["clel", "clel:quick", "clel"]))
    assert twice == once


def test_a_table_has_one_folder_and_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[Any] = []
    monkeypatch.setattr(table1, "refuse_other_settings", lambda cells, runs: None)
    monkeypatch.setattr(table1, "write_report", lambda folder, *more: written.append((folder, more[2])) or [])
    for methods in ("clel,igebm", "igebm,clel,igebm"):
        table1.main(Table1("smoke", methods=methods, report=True, out=tmp_path))
    assert written == [(tmp_path / "smoke-igebm-clel", "make table1 PROFILE=smoke METHODS=igebm,clel")] * 2


def test_minutes_name_a_table() -> None:
    options = Table1("quick", methods="plain", minutes=9.0)
    assert table1.table_name(options) == "quick-plain-9-minutes"
    assert table1.command(options) == "make table1 METHODS=plain MINUTES=9"
    assert all(cell.run.train.minutes == 9 for cell in table1.cells_of(options) if cell.row == "plain")


@pytest.mark.parametrize("methods", ["plain,clel", "clel,plain", "clel, plain,clel:quick,clel:+batch"])
def test_so_has_one_of_speed_and_memory(methods: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["speed-memory", "--methods", methods, "--report", "--out", str(tmp_path)]) == 2
    assert f"{tmp_path}/quick-plain-clel/speed_memory.json: not there" in capsys.readouterr().err
