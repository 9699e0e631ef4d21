"""Small image files to load."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image


def encode(values: np.ndarray, kind: str = "PNG") -> bytes:
    """An image file of the array uint8 [H, W] or [H, W, 3]."""
    file = io.BytesIO()
    Image.fromarray(values).save(file, kind)
    return file.getvalue()


def md5(data: bytes) -> str:
    return "md5:" + hashlib.md5(data).hexdigest()


@pytest.fixture
def pictures() -> dict[str, tuple[np.ndarray, bytes]]:
    """Two classes, cat and dog, of 12 RGB 6x6 images each: {"cat/00.png": (array, file)}."""
    generator = np.random.default_rng(0)
    arrays = {
        f"{c}/{i:02}.png": generator.integers(0, 256, (6, 6, 3), dtype=np.uint8)
        for c in ("cat", "dog")
        for i in range(12)
    }
    return {name: (values, encode(values)) for name, values in arrays.items()}


@pytest.fixture
def class_folder(tmp_path: Path, pictures: dict[str, tuple[np.ndarray, bytes]]) -> Path:
    """`pictures` as a folder."""
    for name, (_, data) in pictures.items():
        write(tmp_path / "pets" / name, data)
    return tmp_path / "pets"


def write(path: Path, data: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


@pytest.fixture
def hashes(monkeypatch: pytest.MonkeyPatch) -> Callable[[dict[str, bytes]], None]:
    """Takes {file name: content} for the published files of every data set."""
    from clel.data import sources

    def publish(files: dict[str, bytes]) -> None:
        table = {name: md5(data) for name, data in files.items()}
        monkeypatch.setattr(sources, "file_hashes", lambda name: table)

    return publish
