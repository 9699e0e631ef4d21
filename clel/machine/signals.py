"""Signals that ask a run to leave, as a flag, so that it does so at the next step boundary with a checkpoint."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any

STOPS = (signal.SIGTERM, signal.SIGUSR2)
"""What asks a run to leave, beside Ctrl-C. Schedulers announce a time limit or a preemption by SIGUSR2, to every
process of a job, and a process that does not handle it dies of it."""


LAUNCHER = "CLEL_LAUNCHER"
"""Variable of the environment with the id of the process without which this one is to leave."""


class Interrupted(RuntimeError):
    """A run left early, on a signal, with its state saved; running it again goes on from there."""

    def __init__(self, message: str, number: signal.Signals = signal.SIGINT) -> None:
        super().__init__(message)
        self.exit_status = 128 + number


def exit_status(stop: KeyboardInterrupt) -> int:
    """128 plus the number of the signal that the interrupt names, as a shell has it; SIGINT where it names none."""
    name = str(stop)
    return 128 + (signal.Signals[name] if name in signal.Signals.__members__ else signal.SIGINT)


class Signals:
    """While entered, SIGTERM, SIGUSR2 and the first SIGINT only set `received`; a second SIGINT interrupts at once.

    Outside the main thread, where Python delivers no signals, it does nothing.
    """

    received: signal.Signals | None = None

    def __enter__(self) -> Signals:
        self.previous: dict[int, Any] = {}
        if threading.current_thread() is threading.main_thread():
            for number in (*STOPS, signal.SIGINT):
                self.previous[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *error: object) -> None:
        for number, handler in self.previous.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.received == signal.SIGINT and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.received = signal.Signals(number)


def interrupt_on_stops() -> None:
    """Let SIGTERM and SIGUSR2 raise KeyboardInterrupt, once, wherever no `Signals` is entered.

    For main programs: what one holds is released, and what it was writing removed. A launcher blocks both while such a
    process starts (`held_back`), so that none is lost or kills it; from here on they are delivered.
    """

    def leave(number: int, frame: FrameType | None) -> None:
        for stop in STOPS:  # a scheduler and a launcher may both ask; the second one would break into the leaving
            signal.signal(stop, signal.SIG_IGN)
        raise KeyboardInterrupt(signal.Signals(number).name)

    for stop in STOPS:
        signal.signal(stop, leave)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPS)


def run_program(load: Callable[[], Callable[[], int]]) -> int:
    """The exit status of what `load` imports and returns; a signal that comes meanwhile is heeded right after it.

    Imports take seconds, and an interrupt among them would surface as a fault of whatever was being imported.
    """
    interrupt_on_stops()
    with Signals() as early:
        main = load()
    if early.received is not None:
        print(f"{early.received.name} while starting; nothing was begun", file=sys.stderr)
        return 128 + early.received
    return main()


@contextmanager
def held_back() -> Iterator[None]:
    """Inside, a process that is started gets SIGTERM and SIGUSR2 only once it has called `interrupt_on_stops`."""
    signal.pthread_sigmask(signal.SIG_BLOCK, STOPS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPS)


def child_environment(environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The environment with which a process is started that is to leave once this one is gone."""
    return {**environment, LAUNCHER: str(os.getpid())}


def leave_with_launcher(pause: float = 1.0) -> None:
    """Send this process SIGTERM once the one that started it so (`child_environment`) is gone, however that ended.

    A launcher that was killed can ask nobody to leave. It is looked for every `pause` seconds, in a thread, since what
    may take hours is not training alone.
    """
    launcher = int(os.environ.pop(LAUNCHER, "") or 0)  # not for processes that this one starts

    def watch() -> None:
        while os.getppid() == launcher:
            time.sleep(pause)
        with suppress(OSError):
            print(f"process {launcher}, which started this one, is gone: leaving", file=sys.stderr, flush=True)
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGTERM)

    if launcher:
        threading.Thread(target=watch, daemon=True).start()
