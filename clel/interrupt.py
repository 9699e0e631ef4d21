"""SIGTERM and Ctrl-C as a flag, so that a run leaves at the next step boundary with a checkpoint."""

from __future__ import annotations

import signal
import threading
from types import FrameType
from typing import Any


class Interrupted(RuntimeError):
    """A run left early, on a signal, with its state saved; running it again goes on from there."""


class Signals:
    """While entered, SIGTERM and the first SIGINT only set `received`; a second SIGINT interrupts at once.

    Outside the main thread, where Python delivers no signals, it does nothing.
    """

    received: signal.Signals | None = None

    def __enter__(self) -> Signals:
        self.previous: dict[int, Any] = {}
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                self.previous[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *error: object) -> None:
        for number, handler in self.previous.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.received == signal.SIGINT and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.received = signal.Signals(number)
