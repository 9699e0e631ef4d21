"""Files that commands on tables read back, damaged, named with file and line; workers that lost disk or launcher."""

from __future__ import annotations

import json
import os
from dataclasses import fields
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from clel.config import ConfigError
from clel.machine.signals import LAUNCHER
from experiments import variables
from experiments.chains.rows import load_rows
from experiments.conditional.settings import GuidedLine, read_sweep
from experiments.engines.runs import read_runs
from experiments.reading.csv_rows import csv_rows
from experiments.slurm.sweep import FILE, load_sweep
from experiments.speed.launch import _read_kept
from experiments.speed.records import read_records
from experiments.sweep import local
from experiments.sweep.grid import table1_cells
from experiments.tune.trials import COLUMNS, read_trials
from tests.experiments.conftest import FakeStore

GARBAGE = (b"\x00\xff garbage", b"[]", b'{"jobs": ', b"[" * 100_000)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a,b\n1,2\n1\n", "line 3: fewer cells"),
        (b"a,b\n1,2,3\n", "line 2: more cells"),
        (b"a,c\n", "columns are"),
        (b"", "columns are"),
        (b"a,b\n1,\xff\n", "line 2: not UTF-8"),
        (b"\x00\x00\x00", "columns are|NUL"),
        (b'a,b\n"1,2\n', "line 1: unexpected end of data"),
    ],
)
def test_damaged_tables(content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_bytes(content)
    with pytest.raises(ConfigError, match=rf"x\.csv.*({message})"):
        list(csv_rows(tmp_path / "x.csv", ("a", "b")))


def test_cells_that_are_no_numbers(tmp_path: Path) -> None:
    names = [f.name for f in fields(GuidedLine)]
    path = tmp_path / "sweep.csv"
    path.write_text(",".join(names) + "\nquick,digits,clel,0,much,5,True,1.0,8,0.5,0.5,now\n")
    with pytest.raises(ConfigError, match=r"sweep\.csv, line 2: .*much.*make conditional-sweep KEEP=1"):
        read_sweep(path)
    path.write_text(path.read_text().replace("much", "0.1"))
    assert read_sweep(path) == [GuidedLine("quick", "digits", "clel", 0, 0.1, 5, True, 1.0, 8, 0.5, 0.5, "now")]
    trial = dict.fromkeys(COLUMNS, "x") | {"status": "ok", "distance": "far"}
    path.write_text(",".join(COLUMNS) + "\n" + ",".join(trial.values()) + "\n")
    with pytest.raises(ConfigError, match=r"sweep\.csv, line 2: distance: .*far.*make tune"):
        read_trials(path)


@pytest.mark.parametrize("garbage", GARBAGE)
def test_damaged_records_of_commands(garbage: bytes, tmp_path: Path) -> None:
    for name in ("kept.json", "speed_memory.json", FILE):
        (tmp_path / name).write_bytes(garbage)
    with pytest.raises(ConfigError, match=r"kept\.json: damaged.*remove it"):
        _read_kept(tmp_path / "kept.json", "here")
    with pytest.raises(ConfigError, match=r"speed_memory\.json: damaged.*measure again"):
        read_records(tmp_path)
    with pytest.raises(ConfigError, match=r"sweep\.json: .*no run is lost"):
        load_sweep(tmp_path)
    (tmp_path / "runs.csv").write_bytes(garbage)
    with pytest.raises(ConfigError, match=r"runs\.csv: .*make report.*writes it anew"):
        read_runs(tmp_path)


def test_a_damaged_line_of_measurements(fake: FakeStore) -> None:
    (cell,) = fake.cells("clel", "CLEL")
    config = {"run": {"config": {"cooldown": 0.0}}}
    folder = fake.write(cell, config=config)
    good = json.dumps({"restart": 0.1, "seed": 0, "steps": 5})
    (folder / "rows.jsonl").write_text(f"{good}\n{good}\n")
    assert len(load_rows([cell], folder.parent)) == 2
    (folder / "rows.jsonl").write_bytes(good.encode() + b"\n\xff\n" + good.encode() + b"\n")
    with pytest.raises(ConfigError, match=r"rows\.jsonl, line 2: damaged.*record\.json and it, and make chains"):
        load_rows([cell], folder.parent)


def test_workers_are_started_to_leave_with_their_launcher(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given: dict[str, Any] = {}
    monkeypatch.setattr(local.subprocess, "Popen", lambda *order, **more: given.update(more))
    local._start(table1_cells("smoke")[0], tmp_path, 1, None)
    assert given["env"][LAUNCHER] == str(os.getpid()) and given["env"]["OMP_NUM_THREADS"] == "1"


def test_what_make_starts_leaves_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(variables.sys, "argv", ["variables", "table1"])
    monkeypatch.setattr(variables.os, "execv", lambda *order: None)
    monkeypatch.setenv("MAKEFLAGS", "")
    monkeypatch.setenv(LAUNCHER, "")
    monkeypatch.delenv("MAKELEVEL", raising=False)
    variables.main()
    assert os.environ[LAUNCHER] == ""
    monkeypatch.setenv("MAKELEVEL", "1")
    variables.main()
    assert os.environ[LAUNCHER] == str(os.getppid())


def test_a_worker_that_a_full_disk_has_silenced(
    fake: FakeStore, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (cell,) = fake.cells("clel", "CLEL")
    folder = fake.write(cell)
    (folder / "output.log").write_text("half a li")
    worker: Any = SimpleNamespace(cell=cell, process=SimpleNamespace(returncode=1))
    assert local._ended(worker, folder.parent) == 1
    assert "disk is full" not in capsys.readouterr().err
    monkeypatch.setattr(local, "room_in", lambda folder: 0)
    assert local._ended(worker, folder.parent) == 1
    assert "the disk is full: its last checkpoint stands" in capsys.readouterr().err
