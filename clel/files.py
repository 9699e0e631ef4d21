"""Files that are written whole or not at all."""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from pathlib import Path

from clel.config import ConfigError, require

FULL = (errno.ENOSPC, errno.EDQUOT)


def write_atomically(path: Path, content: str | bytes) -> None:
    """Write a file so that a reader, or a crash at any instant, finds the old content or the new, never a part.

    The folder is made where it is missing. Text is UTF-8. On return the content is on disk, not only in its cache.

    Raises:
        OSError: the disk is full or not writable; the old file is untouched.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    data = content.encode("utf-8", "backslashreplace") if isinstance(content, str) else content
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException as error:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.errno in FULL:
            reason = f"{error.strerror}; what was there before is untouched, make room and do the same again"
            raise OSError(error.errno, reason, str(path)) from None
        raise
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def refuse_unwritable(path: Path, size: int = 0) -> None:
    """Raise ConfigError, before the work whose outcome goes there, where a file of `size` bytes cannot be written.

    The folder is made.
    """
    require(not path.is_dir(), f"{path} is a folder; give the name of a file in it")
    probe = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink()
        stat = os.statvfs(path.parent)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be written ({error.strerror}); give another place") from None
    free = stat.f_bavail * stat.f_frsize
    require(size <= free, f"{path}: takes {size / 1e6:,.0f} MB, and {free / 1e6:,.0f} MB are free there")
