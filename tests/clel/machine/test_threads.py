"""How threads wait: whether a program starts anew for it, and what the runtime of one says of itself."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from clel.machine.threads import POLICY, SAID_BY, wait_asleep, waiting

ROOT = Path(__file__).resolve().parents[3]
posix = pytest.mark.skipif(os.name != "posix", reason="elsewhere a program cannot take its own place")


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Programs that this process would have become; nothing is said of waiting yet."""
    found: list[list[str]] = []
    monkeypatch.setattr(os, "execv", lambda path, arguments: found.append([path, *arguments]))
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    for name in SAID_BY:
        # set first, so that what the function sets is undone
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    return found


@posix
def test_a_process_of_several_threads_starts_anew_once(started: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "orig_argv", ["python", "-m", "clel", "train", "clel"])
    wait_asleep()
    assert started == [[sys.executable, sys.executable, "-m", "clel", "train", "clel"]]
    assert os.environ[POLICY] == "PASSIVE" and waiting() == "OMP_WAIT_POLICY=PASSIVE"
    wait_asleep()
    assert len(started) == 1


def test_one_thread_waits_for_nobody(started: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """What this process starts may have more."""
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    wait_asleep()
    assert not started and os.environ[POLICY] == "PASSIVE"


@pytest.mark.parametrize("name", SAID_BY)
def test_the_environment_has_precedence(name: str, started: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    assert waiting() == ""
    monkeypatch.setenv(name, "7")
    wait_asleep()
    assert not started and waiting() == f"{name}=7"
    assert os.environ.get(POLICY) == ("7" if name == POLICY else None)


@posix
@pytest.mark.slow
@pytest.mark.parametrize(
    "arguments",
    [["-m", "clel", "train", "none"], ["-m", "experiments", "none"], ["-m", "experiments.runs.cell", "none"]],
    ids=lambda a: a[1],
)
def test_the_threads_of_programs_do_not_spin(arguments: list[str]) -> None:
    """GNU's runtime says so where it is loaded for the last time: after as many rounds as this a thread sleeps."""
    clean = {name: value for name, value in os.environ.items() if name not in SAID_BY}
    clean |= {"OMP_NUM_THREADS": "2", "OMP_DISPLAY_ENV": "VERBOSE", "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, *arguments], cwd=ROOT, env=clean, capture_output=True, text=True)
    assert done.returncode in (1, 2), done.stderr  # there is no such method, experiment or folder
    rounds = [line.split("=")[1].strip() for line in done.stderr.splitlines() if "GOMP_SPINCOUNT" in line]
    if not rounds:
        pytest.skip("another runtime, which does not say")
    assert rounds[-1] == "'0'" != rounds[0]
