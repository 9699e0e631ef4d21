"""What is refused of a file before it is read: a pipe, which never ends, and a small archive that declares too much."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path

from clel.config import ConfigError
from clel.data.images import DataError

FREE = 2**28
"""Bytes that an archive may declare whatever its own size."""
TIMES = 300
"""Times its own size that it may declare; photographs pack once to twice, two grey levels 10 to 20 times, and the
white shapes on black of dSprites 110 times."""
ENTRY = 512
"""Bytes that each file counts at least, so that their number is bounded too."""
OPTION = "CLEL_MOST_GB"
"""The environment variable that replaces both: GB that an archive may declare."""


def refuse_unsound(path: Path) -> None:
    """Raise DataError for what is neither a file nor a folder, and for an array file that declares too much."""
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise DataError(f"{path}: a pipe, socket or device; accepted: files and folders")
    if path.suffix.lower() in (".npz", ".pt", ".pth") and path.is_file() and zipfile.is_zipfile(path):
        try:
            with zipfile.ZipFile(path) as archive:
                declared = DeclaredSize(path)
                for info in archive.infolist():
                    declared.add(info.file_size)
        except (zipfile.BadZipFile, OSError):
            return  # whoever opens it says what is wrong


class DeclaredSize:
    """The sum of what an archive's files declare; `add` raises DataError once it is beyond the limit."""

    def __init__(self, path: Path) -> None:
        self.path, self.own, self.sum = path, path.stat().st_size, 0
        self.limit = _limit() or max(FREE, TIMES * self.own)

    def add(self, size: int) -> None:
        """One more file of so many bytes."""
        self.sum += max(size, ENTRY)
        if self.sum > self.limit:
            raise DataError(
                f"{self.path}: {self.own / 1e6:,.3g} MB that declare {self.sum / 1e9:,.3g} GB of content or more; the "
                f"limit is {self.limit / 1e9:,.3g} GB; if you trust it, set {OPTION} to the GB that may be read"
            )


def _limit() -> float | None:
    given = os.environ.get(OPTION)
    if not given:
        return None
    try:
        return float(given) * 1e9
    except ValueError:
        raise ConfigError(f"{OPTION} is {given!r}; expected a number of GB") from None
