"""What is written is asked for before the work, and a full disk says which file, that nothing is lost, what to do."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from clel import files
from clel.config import ConfigError
from clel.files import refuse_unwritable, write_atomically


def test_a_place_is_made_and_looked_at_before_the_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refuse_unwritable(tmp_path / "new" / "x.npy", 10)
    assert list((tmp_path / "new").iterdir()) == []
    with pytest.raises(ConfigError, match="is a folder"):
        refuse_unwritable(tmp_path / "new")
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"cannot be written .*give another place"):
        refuse_unwritable(tmp_path / "file" / "x.npy")
    monkeypatch.setattr(files.os, "statvfs", lambda path: SimpleNamespace(f_bavail=1, f_frsize=1000))
    with pytest.raises(ConfigError, match="takes 5 MB, and 0 MB are free"):
        refuse_unwritable(tmp_path / "x.npy", 5_000_000)


def test_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.json"
    write_atomically(path, "old")

    def full(*arguments: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(OSError, match=r"No space left on device; what was there before is untouched.*x\.json"):
        write_atomically(path, "new")
    assert path.read_text() == "old" and [p.name for p in tmp_path.iterdir()] == ["x.json"]
