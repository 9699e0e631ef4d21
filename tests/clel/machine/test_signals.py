"""A process that was started by another leaves once that one is gone, however it ended."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from itertools import chain, repeat
from typing import Any

import pytest

from clel.machine.signals import LAUNCHER, Signals, child_environment, held_back, leave_with_launcher

FORK = multiprocessing.get_context("fork")


def leaves(ready: Any, left: Any) -> None:
    """As a worker in training, which saves its state once `received` is set."""
    with Signals() as signals:
        leave_with_launcher(pause=0.01)
        ready.set()
        while signals.received is None:
            time.sleep(0.01)
    left.set()


def test_a_worker_leaves_after_its_launcher_was_killed() -> None:
    ready, left = FORK.Event(), FORK.Event()

    def launch() -> None:
        os.environ.update(child_environment())
        if os.fork() == 0:
            leaves(ready, left)
            os._exit(0)
        time.sleep(60)

    launcher = FORK.Process(target=launch, daemon=True)
    launcher.start()
    assert ready.wait(30) and not left.is_set()
    launcher.kill()
    assert left.wait(30)


def test_it_stays_as_long_as_its_launcher_does(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    asked: list[int] = []
    parents = chain([7, 7, 7], repeat(1))
    monkeypatch.setattr(os, "getppid", lambda: asked.append(0) or next(parents))
    monkeypatch.setenv(LAUNCHER, "7")
    with Signals() as signals:
        leave_with_launcher(pause=0.001)
        assert LAUNCHER not in os.environ  # what this process starts does not watch that one
        while signals.received is None:
            time.sleep(0.001)
    assert signals.received == signal.SIGTERM and len(asked) == 4
    assert "process 7, which started this one, is gone" in capfd.readouterr().err


def test_who_was_not_launched_watches_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(LAUNCHER, raising=False)
    monkeypatch.setattr("threading.Thread.start", None)
    leave_with_launcher()
    assert child_environment({"A": "b"}) == {"A": "b", LAUNCHER: str(os.getpid())}


def test_signals_are_held_back_while_a_process_starts() -> None:
    with held_back():
        assert {signal.SIGTERM, signal.SIGUSR2} <= signal.pthread_sigmask(signal.SIG_BLOCK, [])
    assert not {signal.SIGTERM, signal.SIGUSR2} & signal.pthread_sigmask(signal.SIG_BLOCK, [])
