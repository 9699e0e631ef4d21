"""Runs one command in this process and says whether it held: it ended in time, by an exit status, with words."""

from __future__ import annotations

import io
import signal
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass

LONGEST = 60
"""Seconds after which a try counts as hanging."""

Try = tuple[str, Callable[[], str | None]]
"""What is tried, in words that repeat it, and the try: what fell short, or None."""


class Hangs(BaseException):
    """Past every `except Exception`."""


@dataclass(frozen=True)
class Ended:
    """status: the exit status; None where an exception came out, which `crash` shows. said: both streams."""

    status: int | None
    said: str
    crash: str = ""

    @property
    def short(self) -> str | None:
        """What fell short of "done, or refused in words"; None where nothing did."""
        if self.crash:
            return self.crash
        if "Traceback (most recent call last)" in self.said:
            return "a traceback: " + self.said[-400:]
        if self.status and not self.said.strip():
            return f"exit status {self.status} without a word"
        return None


@contextmanager
def limited(seconds: int = LONGEST) -> Iterator[None]:
    """Raises `Hangs` inside once the time is over."""

    def ring(*_: object) -> None:
        raise Hangs(f"still at it after {seconds} s")

    before = signal.signal(signal.SIGALRM, ring)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def ended(call: Callable[[], int | None]) -> Ended:
    """How a command ended; warnings count as what it said."""
    said = io.StringIO()
    try:
        with redirect_stdout(said), redirect_stderr(said), limited(), warnings.catch_warnings():
            warnings.simplefilter("always")
            return Ended(call() or 0, said.getvalue())
    except SystemExit as left:  # tyro, of a value of another type
        return Ended(left.code if isinstance(left.code, int) else 1, said.getvalue() or str(left.code))
    except (Exception, Hangs) as error:  # noqa: BLE001 - what is looked for
        where = traceback.extract_tb(error.__traceback__)[-1]
        return Ended(None, said.getvalue(), f"{type(error).__name__}: {error} ({where.filename}:{where.lineno})")
