"""What is written is asked for before the work, and a full disk says which file, that nothing is lost, what to do."""

from __future__ import annotations

import errno
import multiprocessing
import os
import shutil
import subprocess
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from clel.config import ConfigError
from clel.machine.process import machine_id
from clel.storage import atomic
from clel.storage.atomic import drop_unfinished, read_json, refuse_unwritable, replacing, write_atomically
from clel.storage.lock import locked


def test_a_place_is_made_and_looked_at_before_the_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refuse_unwritable(tmp_path / "new" / "x.npy", 10)
    assert list((tmp_path / "new").iterdir()) == []
    with pytest.raises(ConfigError, match="is a folder"):
        refuse_unwritable(tmp_path / "new")
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"cannot be written .*give another place"):
        refuse_unwritable(tmp_path / "file" / "x.npy")
    monkeypatch.setattr(atomic.os, "statvfs", lambda path: SimpleNamespace(f_blocks=9, f_bavail=1, f_frsize=1000))
    with pytest.raises(ConfigError, match="takes 5 MB, and 1 kB are free"):
        refuse_unwritable(tmp_path / "x.npy", 5_000_000)


def test_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.json"
    write_atomically(path, "old")

    def full(*arguments: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(atomic.os, "fsync", full)
    with pytest.raises(OSError, match=r"No space left on device; what was there before is untouched.*x\.json"):
        write_atomically(path, "new")
    assert path.read_text() == "old" and [p.name for p in tmp_path.iterdir()] == ["x.json"]


def left(folder: Path, name: str, age: float = 0.0) -> Path:
    path = folder / name
    path.write_bytes(b"half")
    os.utime(path, (time.time() - age, time.time() - age))
    return path


@pytest.fixture
def gone() -> int:
    """The id of a process that is gone."""
    process = subprocess.Popen(["true"])
    process.wait()
    return process.pid


def test_what_killed_processes_left_is_swept_by_the_next_that_writes_it(tmp_path: Path, gone: int) -> None:
    here, day = machine_id(), atomic.FORSAKEN + 60
    stays = [
        left(tmp_path, f".x.npy.{os.getppid()}-{here}.tmp"),  # lives
        left(tmp_path, f".x.npy.{gone}-01234567.tmp"),  # of another machine, which cannot be asked
        left(tmp_path, f".x.npy.{gone}.tmp"),  # as older versions named them: of any machine
        left(tmp_path, f".y.npy.{gone}-{here}.tmp"),  # another file's
        left(tmp_path, ".x.npy.backup.tmp", day),  # nobody's
    ]
    swept = [
        left(tmp_path, f".x.npy.{gone}-{here}.tmp"),
        left(tmp_path, f".x.npy.{gone}-89abcdef.tmp", day),
        left(tmp_path, f".x.npy.{gone + 1}.tmp", day),
    ]
    write_atomically(tmp_path / "x.npy", "new")
    assert [path.exists() for path in stays] == [True] * 5 and not any(path.exists() for path in swept)
    refuse_unwritable(tmp_path / "z.npy")
    assert not stays[3].exists() and stays[0].exists()
    drop_unfinished(tmp_path, alone=True)
    assert {path.name for path in tmp_path.iterdir()} == {"x.npy", ".x.npy.backup.tmp"}


def test_a_killed_writer_is_swept_and_a_living_one_goes_on(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    path, begun = tmp_path / "samples.npy", context.Event()

    def write() -> None:
        with replacing(path) as file:
            file.write(b"half")
            file.flush()
            begun.set()
            time.sleep(60)

    writer = context.Process(target=write, daemon=True)
    writer.start()
    assert begun.wait(30)
    write_atomically(path, "another's")
    assert len(list(tmp_path.iterdir())) == 2
    writer.kill()
    writer.join()
    write_atomically(path, "whole")
    assert [p.name for p in tmp_path.iterdir()] == ["samples.npy"] and path.read_text() == "whole"


def test_what_is_interrupted_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("old")

    def interrupted() -> None:
        with replacing(tmp_path / "x") as file:
            file.write(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert [p.name for p in tmp_path.iterdir()] == ["x"] and (tmp_path / "x").read_text() == "old"


@pytest.mark.parametrize(
    "content", [b"", b"\x00\xff", b'{"a": 1', b"[1]", b"7", b'{"b": 1}', b"[" * 100_000, b'{"a": 1} x']
)
def test_damaged_json_names_the_file_and_the_remedy(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"x\.json: damaged \(.*\); nothing is lost, remove it"):
        read_json(path, "nothing is lost, remove it", ["a"])
    path.write_text('{"a": 1}')
    assert read_json(path, "", ["a"]) == {"a": 1}


def test_a_real_full_disk(tmp_path: Path) -> None:
    place = tmp_path / "small"
    place.mkdir()
    order = ["mount", "-t", "tmpfs", "-o", "size=64k", "none", str(place)]
    if os.geteuid() != 0 or shutil.which("mount") is None or subprocess.run(order, capture_output=True).returncode:
        pytest.skip("needs root and mount")
    try:
        write_atomically(place / "x", "old")
        with pytest.raises(OSError, match=r"No space left on device; what was there before is untouched.*small/x"):
            write_atomically(place / "x", b"\1" * 100_000)
        assert (place / "x").read_text() == "old" and [p.name for p in place.iterdir()] == ["x"]
        with pytest.raises(ConfigError, match=r"takes 100 kB, and \d\d kB are free there"):
            refuse_unwritable(place / "y", 100_000)
        (place / "filler").write_bytes(b"\1" * 61_440)
        with pytest.raises(OSError, match=r"No space left on device; nothing was begun.*small"), locked(place):
            pass
        assert sorted(p.name for p in place.iterdir()) == ["filler", "x"]
    finally:
        subprocess.run(["umount", str(place)], check=True)


def test_temporary_folders_are_those_that_are_swept() -> None:
    root = Path(__file__).resolve().parents[3]
    code = [path for place in ("clel", "baselines", "experiments") for path in (root / place).rglob("*.py")]
    assert [path.name for path in code if "TemporaryDirectory" in path.read_text("utf-8")] == ["atomic.py"]


def test_a_temporary_folder_goes_even_where_its_process_was_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(atomic.tempfile, "tempdir", str(tmp_path))
    child = subprocess.Popen(["true"])
    child.wait()
    dead, living, foreign = (
        tmp_path / f"clel-{pid}-{where}-abc"
        for pid, where in (
            (child.pid, atomic.machine_id()),
            (os.getpid(), atomic.machine_id()),
            (child.pid, "00000000"),
        )
    )
    for folder in (dead, living, foreign):
        folder.mkdir()
        (folder / "features").write_text("")
    with atomic.temporary_folder() as folder:
        assert folder.is_dir() and not dead.exists() and living.exists() and foreign.exists()
    assert not folder.exists()
