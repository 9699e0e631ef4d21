"""A job that several runs share: each ends as a task of its own, and a signal to leave reaches all of them."""

from __future__ import annotations

import os
import pickle
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from experiments.slurm import attempts
from experiments.slurm.executor import setup_lines
from experiments.slurm.resources import arrays, load_needs, resources_of
from experiments.slurm.task import RunFailed, Task
from experiments.slurm.together import Together
from experiments.sweep.grid import table1_cells
from experiments.sweep.slurm_options import SlurmOptions

CELL = """
import pathlib, signal, sys, time
folder = pathlib.Path(sys.argv[1])
signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(143))
signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGTERM, signal.SIGUSR2))
(folder / "began").touch()
if folder.name == "bad":
    sys.exit("what happened")
while folder.name == "long":
    time.sleep(0.02)
(folder / "record.json").write_text('{"status": "ok", "reason": null}')
"""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder for runs, whose processes are a stand-in: CELL instead of experiments.runs.cell, which comes first."""
    monkeypatch.setenv("SLURM_ARRAY_JOB_ID", "12")
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "3")
    monkeypatch.delenv("SLURM_RESTART_COUNT", raising=False)
    room = tmp_path / "code/experiments/runs"
    room.mkdir(parents=True)
    (room / "__init__.py").touch()
    (room / "cell.py").write_text(CELL)
    here = str(Path(__file__).resolve().parents[3])
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path / "code"), here]))
    monkeypatch.chdir(tmp_path)  # where python -m looks first
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGUSR2)}
    yield tmp_path
    for number, handler in before.items():
        signal.signal(number, handler)


def together(home: Path, *names: str) -> Together:
    for name in names:
        (home / name).mkdir()
    return Together([Task(str(home / name), "/", 2, 10.0) for name in names])


def how(folder: Path) -> list[str | None]:
    return [attempt.how for attempt in attempts.all_of(folder)]


def once_begun(folder: Path, number: signal.Signals) -> None:
    def wait() -> None:
        while not (folder / "began").exists():
            time.sleep(0.01)
        os.kill(os.getpid(), number)

    threading.Thread(target=wait, daemon=True).start()


def test_one_run_that_fails_fails_the_job_and_leaves_the_others_alone(home: Path) -> None:
    job = together(home, "good", "bad")
    with pytest.raises(RunFailed, match="without a result, of the 2 runs of this job: bad"):
        job()
    assert how(home / "good") == ["finished"] and how(home / "bad") == ["failed"]
    assert "what happened" in (home / "bad/output.log").read_text()


def test_near_its_limit_the_job_is_requeued_with_what_is_left(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("experiments.slurm.together.shutil.which", lambda name: "/usr/bin/scontrol")
    job, answers = together(home, "good", "long"), list[Any]()
    signal.signal(signal.SIGUSR2, lambda number, frame: answers.append(job.checkpoint()))

    def when_one_is_finished() -> None:
        while not (how(home / "good") == ["finished"] and (home / "long/began").exists()):
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGUSR2)

    threading.Thread(target=when_one_is_finished, daemon=True).start()
    with pytest.raises(RunFailed, match="long"):  # of a job that submitit, after checkpoint, has left
        job()
    (again,) = answers
    assert [Path(task.folder).name for task in again.function.tasks] == ["long"]
    assert pickle.loads(pickle.dumps(again.function)) == Together([Task(str(home / "long"), "/", 2, 10.0)])
    assert how(home / "good") == ["finished"] and how(home / "long") == ["requeued"]


def test_cancelling_asks_every_run_to_leave_and_requeues_nothing(home: Path) -> None:
    job = together(home, "long")
    once_begun(home / "long", signal.SIGTERM)
    with pytest.raises(RunFailed):
        job()
    assert how(home / "long") == ["stopped"]


def test_threads_wait_in_a_job_as_in_the_program_that_submits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where a site hands no environment on."""
    resources = resources_of(table1_cells("paper", 1, rows=["plain"])[-1], SlurmOptions(), load_needs())
    monkeypatch.setenv("OMP_WAIT_POLICY", "PASSIVE")
    lines = setup_lines(resources, Path("/code"), SlurmOptions(setup="module load x"))
    # before the user's own, which may say otherwise
    assert lines.index("export OMP_WAIT_POLICY=PASSIVE") < lines.index("module load x")
    monkeypatch.delenv("OMP_WAIT_POLICY")
    assert not [line for line in setup_lines(resources, Path("/code"), SlurmOptions()) if "WAIT" in line]


def test_what_shares_a_gpu_asks_for_its_cores_and_memory_too() -> None:
    cells, needs = table1_cells("paper", 3, rows=["plain"])[-3:], load_needs()
    alone, shared = (resources_of(cells[0], SlurmOptions(runs_per_gpu=k), needs) for k in (None, 2))
    assert (shared.gpus, shared.runs) == (alone.gpus, 2) and alone.runs == 1
    assert (shared.cpus, shared.memory_gb) == (2 * alone.cpus, 2 * alone.memory_gb)
    assert f"export OMP_NUM_THREADS={alone.cpus}" in setup_lines(shared, Path("/code"), SlurmOptions())
    (array,) = arrays(cells, SlurmOptions(runs_per_gpu=2), needs, size=2)
    assert [len(task) for task in array.shared] == [2, 1]
    # without a GPU there is none to share
    assert resources_of(cells[0], SlurmOptions(runs_per_gpu=2, gpus=0), needs).runs == 1
