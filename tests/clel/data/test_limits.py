"""What is refused before it is read: pipes, links to nothing, archives that declare more than they can mean."""

from __future__ import annotations

import io
import os
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from clel.config import ConfigError
from clel.data import DataError, limits, load, open_samples
from clel.data.limits import OPTION
from clel.data.readers.tree import open_tree

FREE = 2**20
ZEROS = bytes(2 * FREE)


def npz(path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("images.npy", "w") as file:
        header = {"descr": "|u1", "fortran_order": False, "shape": (2 * FREE // 64, 8, 8)}
        np.lib.format.write_array_header_1_0(file, header)
        file.write(ZEROS)


def packed(path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/0.png", ZEROS)


def rolled(path: Path) -> None:
    with tarfile.open(path, "w:gz", compresslevel=9) as archive:
        entry = tarfile.TarInfo("a/0.png")
        entry.size = len(ZEROS)
        archive.addfile(entry, io.BytesIO(ZEROS))


def test_pipes_and_links_to_nothing(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.npz")
    for read in (load, open_samples):
        with pytest.raises(DataError, match="a pipe, socket or device; accepted: files and folders"):
            read(tmp_path / "pipe.npz")
    folder = tmp_path / "set" / "a"
    folder.mkdir(parents=True)
    Image.new("L", (8, 8)).save(folder / "0.png")
    os.mkfifo(folder / "1.png")
    with pytest.raises(DataError, match=r"1\.png: a pipe, socket"):
        open_tree(tmp_path / "set")
    (folder / "1.png").unlink()
    (folder / "1.png").symlink_to("nowhere.png")
    with pytest.raises(DataError, match=r"1\.png: a link to nothing"):
        open_samples(tmp_path / "set")


def test_small_archives_that_declare_much(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "FREE", FREE)
    for name, make in (("x.npz", npz), ("x.zip", packed), ("x.tar.gz", rolled)):
        make(tmp_path / name)
        for read in (load, open_samples):
            with pytest.raises(DataError, match=rf"declare 0\.002\d* GB of content or more; .* set {OPTION} to the GB"):
                read(tmp_path / name)
    monkeypatch.setenv(OPTION, "1")
    assert open_samples(tmp_path / "x.npz").n == 2 * FREE // 64
    monkeypatch.setenv(OPTION, "much")
    with pytest.raises(ConfigError, match="is 'much'; expected a number of GB"):
        open_samples(tmp_path / "x.npz")
