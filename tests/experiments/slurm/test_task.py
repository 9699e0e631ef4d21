"""A job's task with a stand-in for the run's process: what it makes of its end, of signals, and of too many starts."""

from __future__ import annotations

import json
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from experiments.slurm import attempts, traces
from experiments.slurm import task as tasks
from experiments.slurm.task import RunFailed, Task

ROOT = Path(__file__).resolve().parents[3]
JOB = "12_3"
RECORD = 'echo \'{{"status": "{}", "reason": {}}}\' > $3/record.json\n'
OK = RECORD.format("ok", "null")
WRITES = """(folder / "record.json").write_text('{"status": "ok", "reason": null}')"""
PRINTS_MASK = f"""
import pathlib, signal, sys
folder = pathlib.Path(sys.argv[3])
(folder / "blocked").write_text(str(sorted(map(int, signal.pthread_sigmask(signal.SIG_BLOCK, [])))))
{WRITES}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("SLURM_ARRAY_JOB_ID", "12")
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "3")
    monkeypatch.delenv("SLURM_RESTART_COUNT", raising=False)
    before = {number: signal.getsignal(number) for number in tasks.STOPS}
    yield tmp_path
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def task(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Task]:
    """A task whose process is a shell script, called as Python would be: -m experiments.runs.cell FOLDER --at HOME."""

    def make(script: str, requeues: int = 2, patience: float = 5.0) -> Task:
        path = folder / "python"
        path.write_text(script if script.startswith("#!") else "#!/bin/sh\n" + script)
        path.chmod(0o755)
        monkeypatch.setattr(tasks.sys, "executable", str(path))
        return Task(str(folder), "/", requeues, patience)

    return make


def once(folder: Path, name: str, act: Callable[[], object]) -> None:
    """Act as soon as the child says by a file that it is ready."""

    def wait() -> None:
        while not (folder / name).exists():
            time.sleep(0.01)
        act()

    threading.Thread(target=wait, daemon=True).start()


def how(folder: Path) -> list[tuple[str, str | None]]:
    return [(attempt.job, attempt.how) for attempt in attempts.all_of(folder)]


def test_it_is_pickled_by_its_place_in_the_code(tmp_path: Path) -> None:
    """What submitit loads in a job: a process that knows nothing of this one's __main__."""
    (tmp_path / "x.pkl").write_bytes(pickle.dumps(Task("/runs/a", "/home", 3, 60.0)))
    program = f"import pickle; t = pickle.load(open({str(tmp_path / 'x.pkl')!r}, 'rb')); print(t, callable(t))\n"
    program += "import sys; print('torch' in sys.modules, hasattr(t, 'checkpoint'))"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[0] == "Task(folder='/runs/a', home='/home', requeues=3, patience=60.0) True"
    assert done.stdout.split("\n")[1] == "False True"


def test_a_run_that_ends_well(task: Callable[..., Task], folder: Path) -> None:
    assert task(OK + 'echo "$@" > $3/arguments')() == f"{folder.name}: ok"
    assert (folder / "arguments").read_text().split() == ["-m", "experiments.runs.cell", str(folder), "--at", "/"]
    assert how(folder) == [(JOB, "finished")]


@pytest.mark.parametrize(
    ("script", "why"),
    [
        ("echo what happened; exit 1", "exit status 1"),
        ("echo what happened; kill -9 $$", "killed by SIGKILL, perhaps for want of memory"),
        ("echo what happened; exit 75", "another process"),
        ("echo what happened\n" + RECORD.format("oom", '"too big"'), "oom: too big"),
        ("echo what happened; exit 0", "exit status 0"),
    ],
)
def test_a_run_that_ends_badly_fails_its_task_with_its_last_lines(
    script: str, why: str, task: Callable[..., Task], folder: Path
) -> None:
    with pytest.raises(RunFailed, match=f"{why}[^\n]*\n-- job {JOB} on [^\n]* starts\nwhat happened"):
        task(script)()
    (attempt,) = attempts.all_of(folder)
    assert attempt.how == "failed" and why in attempt.why


def test_the_process_starts_with_the_signals_blocked_until_it_can_answer(
    task: Callable[..., Task], folder: Path
) -> None:
    # not a shell, which may have a mind of its own about signals
    task(f"#!{sys.executable}\n" + PRINTS_MASK)()
    assert (folder / "blocked").read_text() == str(sorted(map(int, tasks.STOPS)))
    assert not signal.pthread_sigmask(signal.SIG_BLOCK, ()) & set(tasks.STOPS)


WAITS = f"""#!{sys.executable}
import pathlib, signal, sys, time
folder = pathlib.Path(sys.argv[3])
def leave(*_):
    (folder / "asked").touch()
    LEAVE
if "--give-up" in sys.argv:
    (folder / "reason").write_text(sys.argv[7])
    sys.exit()
FIRST
signal.signal(signal.SIGTERM, leave)
signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])
(folder / "ready").touch()
time.sleep(30)
"""


def test_cancelling_asks_the_process_to_save_and_requeues_nothing(task: Callable[..., Task], folder: Path) -> None:
    once(folder, "ready", lambda: os.kill(os.getpid(), signal.SIGTERM))
    with pytest.raises(RunFailed, match="SIGTERM; make resume"):
        task(WAITS.replace("LEAVE", "sys.exit(130)").replace("FIRST", ""))()
    assert (folder / "asked").exists() and how(folder) == [(JOB, "stopped")]


@pytest.fixture
def preempt(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Task], list[object]]:
    """Let submitit's handler of SIGUSR2 call checkpoint once the child is ready, as it does near the time limit."""
    (folder / "scontrol").touch(mode=0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")

    def run(task: Task) -> list[object]:
        given: list[object] = []

        def handler(number: int, frame: object) -> None:
            given.append(task.checkpoint())
            raise SystemExit(1) if given[-1] is not None else RuntimeError("not requeued")

        signal.signal(signal.SIGUSR2, handler)
        once(folder, "ready", lambda: os.kill(os.getpid(), signal.SIGUSR2))
        with pytest.raises((SystemExit, RuntimeError)):
            task()
        return given

    return run


def test_near_its_limit_it_asks_the_process_to_save_and_only_resubmits(
    task: Callable[..., Task], folder: Path, preempt: Callable[[Task], list]
) -> None:
    first = task(WAITS.replace("LEAVE", "sys.exit(130)").replace("FIRST", ""))
    (given,) = preempt(first)
    again = given.function
    assert isinstance(again, Task) and repr(again) == repr(first) and again.child == 0
    assert pickle.loads(pickle.dumps(again)) == again
    assert how(folder) == [(JOB, "requeued")] and (folder / "asked").exists()
    assert not (folder / "record.json").exists()


def test_a_process_that_does_not_leave_in_time_is_ended(
    task: Callable[..., Task], folder: Path, preempt: Callable[[Task], list]
) -> None:
    began = time.monotonic()
    (given,) = preempt(task(WAITS.replace("LEAVE", "pass").replace("FIRST", ""), patience=0.3))
    assert given is not None and time.monotonic() - began < 5
    assert "last checkpoint counts" in attempts.all_of(folder)[0].why


def test_too_many_requeues_are_a_timeout(
    task: Callable[..., Task], folder: Path, preempt: Callable[[Task], list]
) -> None:
    for requeues_left in (True, True, False):
        (folder / "ready").unlink(missing_ok=True)
        (given,) = preempt(task(WAITS.replace("LEAVE", "sys.exit(130)").replace("FIRST", ""), requeues=2))
        assert (given is not None) == requeues_left
    assert [attempt.how for attempt in attempts.all_of(folder)] == ["requeued", "requeued", "gave up"]
    assert (folder / "reason").read_text().startswith("started 3 times by job 12_3")


def test_starts_that_slurm_counted_count_where_no_notes_could_be_taken(
    task: Callable[..., Task], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLURM_RESTART_COUNT", "3")
    with pytest.raises(RunFailed, match="started 3 times"):
        task("exit 0", requeues=2)()
    monkeypatch.setenv("SLURM_RESTART_COUNT", "2")
    task(OK, requeues=2)()


def test_without_scontrol_the_run_is_left_for_a_resume(
    task: Callable[..., Task], folder: Path, preempt: Callable[[Task], list], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tasks.shutil, "which", lambda name: None)
    assert preempt(task(WAITS.replace("LEAVE", "sys.exit(130)").replace("FIRST", ""))) == [None]
    (attempt,) = attempts.all_of(folder)
    assert attempt.how == "stopped" and "no scontrol: make resume" in attempt.why


def test_a_finished_run_is_not_requeued(
    task: Callable[..., Task], folder: Path, preempt: Callable[[Task], list]
) -> None:
    assert preempt(task(WAITS.replace("LEAVE", "sys.exit(0)").replace("FIRST", WRITES))) == [None]
    assert how(folder) == [(JOB, "finished")]


def test_attempts_survive_torn_lines_and_a_full_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    attempts.started(tmp_path, "1", "a")
    with open(tmp_path / attempts.FILE, "a") as file:
        file.write('{"event": "end", "jo')
    attempts.started(tmp_path, "1", "b")
    attempts.ended(tmp_path, "2", "finished")  # another job's word
    attempts.ended(tmp_path, "1", "requeued")
    attempts.ended(tmp_path, "1", "stopped", "not requeued after all")
    found = attempts.all_of(tmp_path)
    assert [(a.node, a.how) for a in found] == [("a", None), ("b", "stopped")]

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    attempts.ended(tmp_path, "1", "finished")
    assert "No space left" in capsys.readouterr().err


def test_tail_shows_the_last_state_of_a_rewritten_line(tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(b"x" * 50_000 + b"\n\n\r\x1b[K1/9\r\x1b[K9/9\nlast \xff\n\n")
    assert traces.tail(tmp_path / "log", 2) == "9/9\nlast \ufffd"
    assert traces.tail(tmp_path / "none") == ""
    (tmp_path / "record.json").write_text(json.dumps({"status": "ok"}))
    assert traces.recorded(tmp_path) == (None, "")
