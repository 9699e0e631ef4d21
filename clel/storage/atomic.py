"""Files that are written whole or not at all, and read back with a word on what is wrong with them."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import sys
import tempfile
import time
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from clel.config import ConfigError, require
from clel.machine.process import gone, machine_id

FULL = (errno.ENOSPC, errno.EDQUOT)
TEMPORARY = re.compile(r"\.(.+)\.(\d+)(?:-([0-9a-f]{8}))?\.tmp")
"""Name of a file that is being written: the name it will have, the process, its machine."""
FORSAKEN = 24 * 3600.0
"""Seconds after which a temporary file of another machine, which cannot be asked, counts as left behind."""


def write_atomically(path: Path, content: str | bytes) -> None:
    """Write a file so that a reader, or a crash at any instant, finds the old content or the new, never a part.

    The folder is made where it is missing. Text is UTF-8. On return the content is on disk, not only in its cache.

    Raises:
        OSError: the disk is full or not writable; the old file is untouched.
    """
    with replacing(path) as file:
        file.write(content.encode("utf-8", "backslashreplace") if isinstance(content, str) else content)


@contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """A file to write to, which takes the place of `path` where the block ends well; see `write_atomically`.

    What processes that were killed while they wrote this file left behind is removed.
    """
    temporary = _temporary(path)
    with naming_full_disk(path):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with open(temporary, "wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        except BaseException:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)
            raise
    drop_unfinished(path.parent, path.name)
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        with suppress(OSError):  # some file systems refuse, and the rename is done
            os.fsync(directory)
    finally:
        os.close(directory)


@contextmanager
def naming_full_disk(path: Path, kept: str = "what was there before is untouched") -> Iterator[None]:
    """Inside, the error of a full disk names the file, says what is kept, and what to do."""
    try:
        yield
    except OSError as error:
        if error.errno not in FULL:
            raise
        reason = f"{os.strerror(error.errno)}; {kept}, make room and do the same again"
        raise OSError(error.errno, reason, str(path)) from None


def drop_unfinished(folder: Path, name: str | None = None, alone: bool = False) -> None:
    """Remove what processes that were killed while writing a file in the folder, or that of `name`, left behind.

    What a living process may be writing stays. alone: no other process writes there, as its lock says; all is removed.
    """
    for path in folder.glob(".*.tmp"):
        match = TEMPORARY.fullmatch(path.name)
        if match and name in (None, match[1]):
            with suppress(OSError):  # another process may sweep too
                dead = match[3] == machine_id() and gone(int(match[2]))
                if alone or dead or time.time() - path.stat().st_mtime > FORSAKEN:
                    path.unlink()


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """A folder that is removed at the end of the block, and by the next one of these if this process is killed."""
    place = Path(tempfile.gettempdir())
    for left in place.glob("clel-*-*"):
        match = re.fullmatch(r"clel-(\d+)-([0-9a-f]{8})-\w+", left.name)
        if match and match[2] == machine_id() and gone(int(match[1])):
            shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=f"clel-{os.getpid()}-{machine_id()}-", dir=place) as folder:
        yield Path(folder)


def refuse_unwritable(path: Path, size: int = 0) -> None:
    """Raise ConfigError, before the work whose outcome goes there, where a file of `size` bytes cannot be written.

    The folder is made, and what killed processes left in it removed.
    """
    require(not path.is_dir(), f"{path} is a folder; give the name of a file in it")
    _refuse(path, path.parent, size)


def refuse_unwritable_folder(folder: Path, size: int = 0) -> None:
    """The same of files of `size` bytes in all in a folder."""
    _refuse(folder, folder, size)


def room_in(folder: Path) -> int:
    """Bytes that can be written into a folder."""
    stat = os.statvfs(folder)
    return stat.f_bavail * stat.f_frsize if stat.f_blocks else sys.maxsize  # some file systems do not tell


@contextmanager
def naming_damage(path: Path, remedy: str) -> Iterator[None]:
    """Inside, what is wrong with the content of a file becomes a ConfigError that names it.

    remedy: what is lost, and what to do: the end of the message.
    """
    try:
        yield
    except (ValueError, LookupError, TypeError, EOFError, RecursionError, zipfile.BadZipFile, zlib.error) as error:
        raise ConfigError(f"{path}: damaged ({type(error).__name__}: {error}); {remedy}") from None


def read_json(path: Path, remedy: str, keys: Iterable[str] = (), kind: type[Any] = dict) -> Any:
    """The JSON value of type `kind`, with these keys, that a file holds.

    Raises:
        FileNotFoundError: there is no such file.
        ConfigError: it holds anything else; see `naming_damage`.
    """
    with naming_damage(path, remedy):
        content: Any = json.loads(path.read_bytes())
        if type(content) is not kind:
            raise TypeError(f"expected a JSON {'object' if kind is dict else 'list'}")
        for key in keys:
            content[key]
    return content


def in_bytes(number: float) -> str:
    """34 kB, 12 MB or 3.4 GB."""
    if number < 1e6:
        return f"{number / 1e3:.0f} kB"
    return f"{number / 1e6:.0f} MB" if number < 1e9 else f"{number / 1e9:,.1f} GB"


def _refuse(path: Path, folder: Path, size: int) -> None:
    probe = _temporary(folder / path.name)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        drop_unfinished(folder)
        probe.touch()
        probe.unlink()
        free = room_in(folder)
    except OSError as error:
        advice = "make room" if error.errno in FULL else "give another place"
        raise ConfigError(f"{path}: cannot be written ({error.strerror}); {advice}") from None
    lacking = f"takes {in_bytes(size)}, and {in_bytes(free)} are free there"
    require(size <= free, f"{path}: {lacking}; make room, or give another place")


def _temporary(path: Path) -> Path:
    return path.with_name(f".{path.name}.{os.getpid()}-{machine_id()}.tmp")
