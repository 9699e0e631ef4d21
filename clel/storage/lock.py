"""One process a folder, on any file system that has hard links, NFS included, whatever becomes of the holders.

The holder of a folder is the one who made its file .lock.N with the highest number N. To take a folder is to make the
file of the next number, by a hard link, which succeeds for one process alone; to leave it is to rename the file to
.lock.N.free. So a holder that died is not robbed of its file: it is overtaken, and two processes that overtake at once
ask for the same number. The highest file stays, since a number must never be used twice.

A holder touches its file every BEAT seconds. Its file is void when it died, as far as this machine can tell, or was
not touched for STALE seconds by the file system's own clock; a holder that was overtaken meanwhile ends at once.
"""

from __future__ import annotations

import os
import re
import secrets
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from clel.storage.atomic import naming_full_disk
from clel.storage.holder import Holder, myself, read_holder

BEAT, STALE = 30.0, 300.0
NAME = re.compile(r"\.lock\.(\d+)(\.free)?")
OVERTAKEN = 74
"""Exit status of a process whose folder another one took."""


class Busy(RuntimeError):
    """Another process works in the folder."""


@dataclass(frozen=True)
class Look:
    """What a folder's highest lock file says.

    Attributes:
        number: of the file; 0 where there is none.
        holder: who made it, while it is held; None where it is free, or does not say.
        beat: when it was last touched, in nanoseconds of the file system's clock; 0 where the folder is free.
        age: seconds since then.
    """

    number: int
    holder: Holder | None = None
    beat: int = 0
    age: float = 0.0

    @property
    def held(self) -> bool:
        """Whether a process holds the folder, as far as can be known."""
        return self.beat > 0 and self.age < STALE and not (self.holder is not None and self.holder.dead())

    def __str__(self) -> str:
        return f"{self.holder or 'a process that does not say which'}, last heard of {self.age:.0f} s ago"


@contextmanager
def locked(folder: Path, wait: float = 0.0, overtaken: Callable[[], None] | None = None) -> Iterator[None]:
    """Inside, this process alone holds the folder.

    Args:
        wait: seconds to wait for another holder to leave.
        overtaken: called, in a thread, once another process took the folder, which happens to a process that stood
            still for STALE seconds. By default this process ends at once, since the folder is no longer its own.

    Raises:
        Busy: another process holds it; the message says which.
    """
    folder.mkdir(parents=True, exist_ok=True)
    token, deadline = secrets.token_hex(8), time.monotonic() + wait
    while True:
        try:
            with naming_full_disk(folder, "nothing was begun"):
                number = _take(folder, token)
            break
        except Busy:
            if time.monotonic() >= deadline:
                raise
            time.sleep(min(1.0, max(deadline - time.monotonic(), 0.01)))
    mine = folder / f".lock.{number}"
    left = threading.Event()
    beating = threading.Thread(target=_beat, args=(mine, token, left, overtaken or (lambda: _leave(folder))))
    beating.daemon = True
    beating.start()
    try:
        yield
    finally:
        left.set()
        with suppress(OSError):
            # a rename takes no space on a full disk
            os.rename(mine, f"{mine}.free")


def look(folder: Path) -> Look:
    """What the folder's locks say now; takes nothing."""
    probe = folder / f".lock-{secrets.token_hex(8)}"
    try:
        probe.touch()
        return _look(folder, probe)
    except OSError:
        return _look(folder, None)  # not ours to write in: its clock is taken to be this machine's
    finally:
        with suppress(OSError):
            probe.unlink(missing_ok=True)


def forget(folder: Path) -> None:
    """Remove a folder in which there is nothing but a lock that nobody holds."""
    with suppress(OSError):
        if not look(folder).held and all(path.name.startswith(".lock.") for path in folder.iterdir()):
            for path in folder.iterdir():
                path.unlink()
            folder.rmdir()


def wait_for_the_dead(folder: Path, pause: float = 5.0) -> None:
    """Return once the folder is free, or its holder has been silent long enough to be overtaken.

    Raises:
        Busy: the holder gave a sign of life meanwhile.
    """
    first = look(folder)
    while (now := look(folder)).held:
        if (now.number, now.beat) != (first.number, first.beat):
            raise _busy(folder, now)
        time.sleep(pause)


def _take(folder: Path, token: str) -> int:
    """Make the file of the next number, and return that."""
    temporary = folder / f".lock-{token}"
    try:
        temporary.write_text(myself(token).to_json())
        while True:
            seen = _look(folder, temporary)
            if seen.held:
                raise _busy(folder, seen)
            number = seen.number + 1
            mine = folder / f".lock.{number}"
            try:
                os.link(temporary, mine)
            except FileExistsError:
                # over NFS the answer to a link that was made may be lost, and the question be asked again
                if temporary.stat().st_nlink < 2:
                    continue
            found = _files(folder)
            # a slow process may make a file of a number that was used, left and cleared away before
            if max(n for n, _ in found) > number or (number, True) in found:
                mine.unlink(missing_ok=True)
                continue
            for n, free in found:
                if n < number:
                    (folder / f".lock.{n}{'.free' if free else ''}").unlink(missing_ok=True)
            _sweep_up(folder, temporary)
            return number
    finally:
        temporary.unlink(missing_ok=True)


def _sweep_up(folder: Path, mine: Path) -> None:
    """Remove what processes that were killed on their way into `_take` left."""
    now = mine.stat().st_mtime
    for path in folder.glob(".lock-*"):
        with suppress(OSError):
            if now - path.stat().st_mtime > STALE:
                path.unlink()


def _look(folder: Path, probe: Path | None) -> Look:
    """probe: a file in the folder, touched to read the file system's clock."""
    while True:
        found = _files(folder)
        number = max((n for n, _ in found), default=0)
        if number == 0 or (number, True) in found:
            return Look(number)
        path = folder / f".lock.{number}"
        try:
            holder, beat = read_holder(path), path.stat().st_mtime_ns
        except FileNotFoundError:
            continue  # left or overtaken in between
        now = time.time_ns()
        if probe is not None:
            os.utime(probe)
            now = probe.stat().st_mtime_ns
        return Look(number, holder, beat, max(0.0, (now - beat) / 1e9))


def _files(folder: Path) -> set[tuple[int, bool]]:
    """(number, whether it is free) of each lock file."""
    matches = map(NAME.fullmatch, os.listdir(folder)) if folder.is_dir() else ()
    return {(int(m[1]), m[2] is not None) for m in matches if m}


def _busy(folder: Path, seen: Look) -> Busy:
    return Busy(f"{folder}: another process is at work on this run: {seen}; wait for it, or stop it")


def _beat(mine: Path, token: str, left: threading.Event, overtaken: Callable[[], None]) -> None:
    following = mine.with_name(f".lock.{int(mine.name.rpartition('.')[2]) + 1}")
    while not left.wait(BEAT):
        try:
            os.utime(mine)
            holder = read_holder(mine)
            lost = following.exists() or (holder is not None and holder.token != token)
        except FileNotFoundError:
            lost = True
        except OSError:
            continue  # a file server that does not answer for a while
        if lost and not left.is_set():
            return overtaken()


def _leave(folder: Path) -> None:
    print(
        f"{folder}: this process gave no sign of life for {STALE:.0f} s and another one took over; leaving at once, "
        "without saving",
        file=sys.stderr,
        flush=True,
    )
    os._exit(OVERTAKEN)
