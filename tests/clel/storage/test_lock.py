"""The lock of a folder: against real processes, killed, stopped, and racing to overtake."""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import threading
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from clel.storage import holder, lock
from clel.storage.lock import Busy, locked, look, wait_for_the_dead

FORK = multiprocessing.get_context("fork")


def hold(folder: Path, ready: Any) -> None:
    with locked(folder):
        ready.set()
        time.sleep(60)


def held_by_another(folder: Path) -> Any:
    ready = FORK.Event()
    process = FORK.Process(target=hold, args=(folder, ready), daemon=True)
    process.start()
    assert ready.wait(10)
    return process


def claim(folder: Path, age: float = 0.0, **changes: Any) -> None:
    """A lock file as a process elsewhere left it, `age` seconds ago."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / ".lock.1"
    path.write_text(json.dumps(asdict(replace(holder.myself("token"), **changes))))
    then = time.time() - age
    os.utime(path, (then, then))


def test_one_holder_at_a_time_and_it_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_ARRAY_JOB_ID", "12")
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "3")
    with locked(tmp_path):
        with pytest.raises(Busy, match=f"process {os.getpid()} on .*, Slurm job 12_3, last heard of 0 s ago"):
            locked(tmp_path).__enter__()
        assert look(tmp_path).held
    assert not look(tmp_path).held
    with locked(tmp_path):
        assert [p.name for p in tmp_path.iterdir()] == [".lock.2"]


def test_a_killed_holder_on_this_machine_is_overtaken_at_once(tmp_path: Path) -> None:
    process = held_by_another(tmp_path)
    with pytest.raises(Busy, match="another process"), locked(tmp_path):
        pass
    process.kill()
    process.join()
    with locked(tmp_path):
        pass


def test_a_zombie_and_a_reused_process_id_are_dead(tmp_path: Path) -> None:
    child = subprocess.Popen(["true"])
    while Path(f"/proc/{child.pid}/stat").read_text().split()[2] != "Z":
        time.sleep(0.01)
    assert replace(holder.myself(""), pid=child.pid, started="").dead()
    child.wait()
    assert not holder.myself("").dead()
    assert replace(holder.myself(""), started="1").dead()


def test_a_holder_elsewhere_is_dead_once_it_is_silent(tmp_path: Path) -> None:
    for changes in ({"host": "elsewhere"}, {"boot": "another boot"}, {"boot": ""}):
        claim(tmp_path / "fresh", age=lock.STALE - 60, pid=2**22 + 1, **changes)
        with pytest.raises(Busy), locked(tmp_path / "fresh"):
            pass
        claim(tmp_path / "old", age=lock.STALE + 60, pid=2**22 + 1, **changes)
        with locked(tmp_path / "old"):
            (tmp_path / "old/.lock.2").unlink()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"host": "x"}'])
def test_a_lock_file_that_cannot_be_read_holds_while_it_is_young(text: str, tmp_path: Path) -> None:
    (tmp_path / ".lock.7").write_text(text)
    with pytest.raises(Busy, match="does not say"), locked(tmp_path):
        pass
    os.utime(tmp_path / ".lock.7", (1, 1))
    with locked(tmp_path):
        assert [p.name for p in tmp_path.iterdir()] == [".lock.8"]


def test_the_age_is_of_the_file_systems_clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    claim(tmp_path, host="elsewhere")
    monkeypatch.setattr(lock.time, "time_ns", lambda: time.monotonic_ns() + 10**19)
    assert look(tmp_path).age < 10


def test_the_holder_touches_its_file_and_leaves_when_overtaken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "BEAT", 0.02)
    gone = threading.Event()
    with locked(tmp_path, overtaken=gone.set):
        before = look(tmp_path).beat
        time.sleep(0.1)
        assert look(tmp_path).beat > before and not gone.is_set()
        (tmp_path / ".lock.2").write_text("")
        assert gone.wait(5)


def test_a_process_that_stood_still_ends_when_it_wakes_in_anothers_folder(tmp_path: Path) -> None:
    program = (
        "import sys, time\nfrom pathlib import Path\nfrom clel.storage import lock\nlock.BEAT = 0.05\n"
        "with lock.locked(Path(sys.argv[1])):\n    print('held', flush=True)\n    time.sleep(60)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None and process.stdout.readline() == "held\n"
    process.send_signal(signal.SIGSTOP)
    time.sleep(0.1)
    os.utime(tmp_path / ".lock.1", (1, 1))
    with locked(tmp_path):
        process.send_signal(signal.SIGCONT)
        _, errors = process.communicate(timeout=20)
    assert process.returncode == lock.OVERTAKEN and "another one took over" in errors


def test_waiting_for_the_dead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    claim(tmp_path, age=lock.STALE - 0.2, host="elsewhere")
    wait_for_the_dead(tmp_path, pause=0.05)
    claim(tmp_path, host="elsewhere")
    touch = threading.Timer(0.2, os.utime, (tmp_path / ".lock.1",))
    touch.start()
    with pytest.raises(Busy, match="elsewhere"):
        wait_for_the_dead(tmp_path, pause=0.05)


def test_waiting_for_a_holder_to_leave(tmp_path: Path) -> None:
    inside = locked(tmp_path)
    inside.__enter__()
    threading.Timer(0.3, lambda: inside.__exit__(None, None, None)).start()
    with locked(tmp_path, wait=30):
        pass


def test_a_slow_process_cannot_take_a_number_that_was_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It saw number 1 stale; meanwhile others took and left 2 and 3, which cleared the files before."""
    claim(tmp_path, age=lock.STALE + 60, host="elsewhere")
    real, calls = os.link, []

    def slow_link(source: Path, target: Path) -> None:
        calls.append(target.name)
        if len(calls) == 1:
            for _ in range(2):
                with locked(tmp_path):
                    pass
        real(source, target)

    monkeypatch.setattr(lock.os, "link", slow_link)
    with locked(tmp_path):
        held = [p.name for p in tmp_path.iterdir() if p.name.startswith(".lock.")]
    assert calls == [".lock.2", ".lock.2", ".lock.3", ".lock.4"] and held == [".lock.4"]


def compete(folder: Path, seed: int, until: float) -> None:
    chance, inside = random.Random(seed), folder / "inside"
    while time.time() < until:
        try:
            with locked(folder):
                inside.write_text(str(os.getpid()))
                time.sleep(chance.uniform(0, 0.002))
                if inside.read_text() != str(os.getpid()):
                    (folder / f"shared-{os.getpid()}").touch()
                with open(folder / "turns", "a") as file:
                    file.write(".")
                if chance.random() < 0.3:
                    os.kill(os.getpid(), signal.SIGKILL)
        except Busy:
            time.sleep(chance.uniform(0, 0.002))


def test_processes_that_race_and_die_never_hold_it_together(tmp_path: Path) -> None:
    until, seed, processes = time.time() + 2, 0, []
    while time.time() < until:
        processes = [p for p in processes if p.is_alive()]
        while len(processes) < 6:
            seed += 1
            processes.append(FORK.Process(target=compete, args=(tmp_path, seed, until)))
            processes[-1].start()
        time.sleep(0.01)
    for process in processes:
        process.join()
    assert not list(tmp_path.glob("shared-*"))
    assert len((tmp_path / "turns").read_text()) > 10 and seed > 6  # some died
