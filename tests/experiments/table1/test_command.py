"""make table1, smoke-sized, as a user runs it: from nothing, again, interrupted, with a failing run."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

from baselines import METHODS
from clel.machine.threads import SAID_BY
from experiments.cli import main

ROOT = Path(__file__).resolve().parents[3]
SOME = "vaebm"
"""The one of two stages; processes for all methods would take minutes, and of each tests/fuzz kills trainings."""
FIGURES = ("distance_over_time", "distance_over_gradients", "distance_over_steps", "energy_gap", "samples")
FILES = {"summary.md", "table1.md", "table1.tex", "table1.csv", "runs.csv", "table.json"}
FILES |= {f"figures/{name}.png" for name in FIGURES}


def order(out: Path, *more: str) -> list[str]:
    return ["table1", "--profile", "smoke", "--device", "cpu", "--out", str(out), *more]


def records(out: Path) -> dict[str, dict]:
    return {p.parent.name: json.loads(p.read_text()) for p in (out / "runs").glob("*/record.json")}


def files(folder: Path) -> set[str]:
    return {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()}


@pytest.fixture(scope="module")
def once(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> Path:
    """A finished smoke Table 1 of one method, by make, each run in a process of its own."""
    out = tmp_path_factory.mktemp("results")
    command = ["make", "-s", "table1", f"PYTHON={sys.executable}", "PROFILE=smoke", f"METHODS={SOME}", f"OUT={out}"]
    environment = {name: value for name, value in os.environ.items() if name not in SAID_BY}
    environment |= {"CLEL_CACHE": str(cache)}
    done = subprocess.run(
        [*command, "DEVICE=cpu"], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=900
    )
    assert done.returncode == 0, done.stderr
    return out


@pytest.fixture
def finished(once: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same; the command behind make finds the session's cache, in this process and in those that it starts."""
    monkeypatch.setenv("CLEL_CACHE", str(cache))
    return once


@pytest.mark.slow
def test_make_writes_table_and_figures(finished: Path) -> None:
    assert files(finished / f"smoke-{SOME}") == FILES
    table = pd.read_csv(finished / f"smoke-{SOME}" / "table1.csv", index_col="row")
    assert list(table.index) == ["noise", "real", SOME]
    text = (finished / f"smoke-{SOME}" / "table1.md").read_text()
    assert f"make table1 PROFILE=smoke METHODS={SOME}" in text and "not Inception FID" in text
    # what the program says of threads that wait reaches its workers
    assert {record["provenance"]["waiting"] for record in records(finished).values()} == {"OMP_WAIT_POLICY=PASSIVE"}


@pytest.mark.slow
def test_every_method_has_its_row(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLEL_CACHE", str(cache))
    assert main(order(tmp_path, "--cluster", "debug")) == 0
    assert files(tmp_path / "smoke") == FILES
    table = pd.read_csv(tmp_path / "smoke" / "table1.csv", index_col="row")
    assert list(table.index) == ["noise", "real", *METHODS]
    assert (table["n"] == 1).all()
    assert table.loc["real", "fid_fresh_mean"] < 0.1 * table.loc["noise", "fid_fresh_mean"]


@pytest.mark.slow
def test_again_skips_what_is_finished(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = {p: p.stat().st_mtime_ns for p in (finished / "runs").glob("*/record.json")}
    assert main(order(finished, "--methods", SOME)) == 0
    assert f"finished already: {len(before)} of {len(before)} runs" in capsys.readouterr().err
    assert {p: p.stat().st_mtime_ns for p in before} == before


@pytest.mark.slow
def test_a_stopped_table_ends_with_the_same_numbers(finished: Path, tmp_path: Path) -> None:
    """Another folder, and a process that is stopped on its way; as many workers, hence as many threads a run."""
    arguments = order(tmp_path, "--methods", SOME)
    for name in (n for n, record in records(finished).items() if record["method"] != SOME):
        shutil.copytree(finished / "runs" / name, tmp_path / "runs" / name)
    process = subprocess.Popen(
        [sys.executable, "-m", "experiments", *arguments], cwd=ROOT, stderr=subprocess.PIPE, text=True
    )
    while not list(tmp_path.glob("runs/*/log.jsonl")) and process.poll() is None:
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 143
    assert "the same command goes on from there" in errors
    made = {str(path.relative_to(tmp_path)) for path in tmp_path.glob("*/*") if path.parent.name != "runs"}
    assert made == {"smoke-vaebm/table.json"}
    assert main(arguments) == 0
    first, second = records(finished), records(tmp_path)
    assert {record["method"] for record in second.values()} == {"noise", "real", SOME}
    for name in (n for n, record in second.items() if record["method"] == SOME):
        assert first[name]["metrics"] == second[name]["metrics"], name
        assert first[name]["config"] == second[name]["config"]


@pytest.mark.slow
def test_a_failing_run_keeps_its_row_with_its_reason(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(finished / "runs", tmp_path / "runs")
    name = next(n for n, r in records(finished).items() if r["method"] in METHODS)
    (tmp_path / "runs" / name / "record.json").unlink()
    (tmp_path / "runs" / name / "training.json").unlink()
    for path in (tmp_path / "runs" / name / "checkpoints").iterdir():
        path.unlink()
    (tmp_path / "runs" / name / "samples").rename(tmp_path / "runs" / name / "gone")
    (tmp_path / "runs" / name / "samples").write_text("a file where a folder should be")
    assert main(order(tmp_path, "--methods", SOME)) == 1
    assert f"1 of {len(records(finished))} runs have no result" in capsys.readouterr().err
    text = (tmp_path / f"smoke-{SOME}" / "table1.md").read_text()
    assert "n=0/1" in text and "seed 0: error" in text and "exists" in text.lower()


def test_plan_runs_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("CLEL_CACHE", str(tmp_path / "cache"))
    assert main(order(tmp_path, "--plan", "--seeds", "2", "--methods", "igebm,clel")) == 0
    said = capsys.readouterr().out
    assert "nothing was run" in said
    rows = {line.split()[0]: line.split()[1:] for line in said.splitlines() if line.startswith(("igebm", "clel"))}
    assert rows["clel"][:3] == ["2", "0", "4"] and float(rows["clel"][-1]) > 0
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--profile smoke --methods clell", "did you mean 'clel'"),
        ("--profile smoke --dataset cifar10", "make data DATASET=cifar10"),
        ("--profile quik", "did you mean 'quick'"),
        ("--profile smoke --device gpu", "expected auto, cpu, cuda"),
    ],
)
def test_bad_options_are_explained(
    options: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As the command behind make has them."""
    monkeypatch.setenv("CLEL_CACHE", str(tmp_path / "cache"))
    assert main(["table1", *options.split(), "--out", str(tmp_path / "out")]) == 2
    said = capsys.readouterr().err
    assert message in said and said.startswith("experiments: ") and "Traceback" not in said
    assert not (tmp_path / "out").exists()


def test_make_alone_lists_the_targets() -> None:
    done = subprocess.run(["make"], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0
    for target in ("table1", "test", "data", "clean", "report", "lint"):
        assert f"make {target} " in done.stdout
