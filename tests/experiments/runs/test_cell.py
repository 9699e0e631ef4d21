"""A worker's process as a cluster's task: signals outside of training, giving up, the reference made once."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from baselines import METHODS
from clel.machine.signals import STOPS
from clel.methods.settings import EvaluateConfig
from clel.runs.config import resolve, save_config
from clel.runs.record import read_record
from clel.storage.lock import locked, look
from experiments.runs import cell as cells
from experiments.runs.cell import place_of_mark
from experiments.runs.chains.settings import chains_run
from experiments.runs.external import External, ExternalRun
from experiments.runs.references import ReferenceRun, execute_reference
from experiments.sweep.grid import Cell, table1_cells
from experiments.sweep.launch import has_result, run_here

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def smoke(tmp_path: Path) -> Cell:
    """A trained row of the smoke table, its folder made."""
    cell = next(c for c in table1_cells("smoke", device="cpu") if c.row in METHODS)
    save_config(cell.run, tmp_path / "runs" / cell.run_name)
    return cell


def test_data_sets_of_one_name_have_marks_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLEL_CACHE", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    places = {place_of_mark(name, EvaluateConfig()) for name in ("digits", "d1/mine.npz", "d2/mine.npz", "digits.npz")}
    assert len(places) == 4 and tmp_path / "made/digits-classifier" in places
    assert place_of_mark(str(tmp_path / "d1/mine.npz"), EvaluateConfig()) in places


GIVEN = External("Theirs", "digits", "samples.npy", "a paper")
KINDS = {
    "run": resolve(METHODS, "plain", "quick"),
    "reference": ReferenceRun("noise", "digits", 1, EvaluateConfig()),
    "external": ExternalRun(GIVEN.title, GIVEN.dataset, GIVEN.samples, GIVEN.source, "", 0, EvaluateConfig()),
    "chains": chains_run("plain", 1.0, 0, "digits", "cpu"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_folder_says_what_kind_of_run_it_is_of(kind: str, tmp_path: Path) -> None:
    """And one of before config.json said so is read as it was."""
    save_config(KINDS[kind], tmp_path)
    path = tmp_path / "config.json"
    values = json.loads(path.read_text())
    assert values.pop("kind") == kind and cells.read_any_run(tmp_path) == KINDS[kind]
    path.write_text(json.dumps(values))
    assert cells.read_any_run(tmp_path) == KINDS[kind]


def test_held_out_images_that_are_too_few_are_a_record_with_the_reason(tmp_path: Path) -> None:
    """As of a user with 400 images, of which 35 are held out: no traceback, and not "no record yet"."""
    run = ReferenceRun("real", "digits", 0, EvaluateConfig(samples=35), "cpu")
    record = execute_reference(run, tmp_path / run.name)
    assert record["status"] == "error" and record["reason"].startswith("real: 35 images are too few")
    assert read_record(tmp_path / run.name) == record


def test_giving_up_is_a_record_that_is_taken_up_again(smoke: Cell, tmp_path: Path) -> None:
    folder = tmp_path / "runs" / smoke.run_name
    cells.give_up(folder, "too often")
    record = read_record(folder)
    assert record is not None and (record["status"], record["reason"]) == ("timeout", "too often")
    assert record["method"] == smoke.row and record["config"]["seed"] == 0
    assert not has_result(smoke, tmp_path / "runs")
    noise = table1_cells("smoke")[0]
    save_config(noise.run, tmp_path / "runs" / noise.run_name)
    cells.give_up(tmp_path / "runs" / noise.run_name, "too often")
    assert read_record(tmp_path / "runs" / noise.run_name) is not None


def make(folder: Path, cache: Path) -> None:
    os.environ["CLEL_CACHE"] = str(cache)

    def slow(evaluate: object, train: object, held_out: object) -> None:
        with open(cache / "count", "a") as file:
            file.write("x")
        time.sleep(0.3)

    cells.reference_of = slow  # type: ignore[assignment]
    cells.load = lambda *_: SimpleNamespace(to=lambda device: None)  # type: ignore[assignment, return-value]
    cells.make_reference(json.loads((folder / "config.json").read_text()))


def test_of_many_tasks_one_makes_the_reference(smoke: Cell, tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    arguments = (tmp_path / "runs" / smoke.run_name, tmp_path)
    tasks = [context.Process(target=make, args=arguments) for _ in range(4)]
    for task in tasks:
        task.start()
    for task in tasks:
        task.join()
    assert [task.exitcode for task in tasks] == [0] * 4
    assert (tmp_path / "count").read_text() == "x"


def test_a_busy_run_is_left_with_a_word_instead_of_a_traceback(
    smoke: Cell, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "runs" / smoke.run_name
    with locked(folder):
        assert cells.main(folder) == cells.BUSY
    errors = capfd.readouterr().err
    assert "another process is at work on this run: process" in errors and "Traceback" not in errors


@pytest.mark.parametrize("name", [stop.name for stop in STOPS])
def test_a_signal_outside_of_training_releases_the_lock(name: str, smoke: Cell, tmp_path: Path) -> None:
    folder = tmp_path / "runs" / smoke.run_name
    program = (
        "import signal, sys, time\n"
        "signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM, signal.SIGUSR2])\n"
        "from experiments.runs import cell\n"
        "def slow(*_):\n    print('ready', flush=True)\n    time.sleep(60)\n"
        "cell.load = slow\n"
        "sys.exit(cell.task([sys.argv[1], '--at', sys.argv[2]]))\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(folder), str(tmp_path)],
        cwd=ROOT,
        env={**os.environ, "CLEL_CACHE": str(tmp_path / "cache")},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None and process.stdout.readline() == "ready\n"
    assert look(folder).held
    for _ in range(3):  # a scheduler and a launcher ask, each in its own way
        process.send_signal(signal.Signals[name])
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 128 + signal.Signals[name] and "Traceback" not in errors
    assert f"{name} outside of training" in errors
    assert not look(folder).held and look(tmp_path / "cache/made/digits-classifier").number == 1


def test_the_debug_cluster_runs_what_is_missing_in_this_process(
    smoke: Cell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    other = table1_cells("smoke")[0]
    monkeypatch.setattr("experiments.sweep.launch.has_result", lambda cell, runs: cell == other)
    monkeypatch.setattr("experiments.sweep.launch.main", lambda folder: done.append(folder.name) or cells.FAILED)
    run_here([other, smoke], tmp_path / "runs")  # one that fails does not stop the others
    run_here([smoke], tmp_path / "runs")
    assert done == [smoke.run_name] * 2
    monkeypatch.setattr("experiments.sweep.launch.main", lambda folder: 130)
    with pytest.raises(KeyboardInterrupt):
        run_here([smoke], tmp_path / "runs")
