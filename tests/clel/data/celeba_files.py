"""A few made-up files in the form of CelebA's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from clel.data import sources
from tests.clel.data.conftest import encode, md5, write

NAMES = ("Male", "Smiling", "Young")


def write_celeba(folder: Path, monkeypatch: pytest.MonkeyPatch, count: int = 16, attributes: bool = True) -> None:
    """`count` random faces for training and 8 held out, whose hashes count as the published ones."""
    generator = np.random.default_rng(0)
    names = [f"{i:06}.jpg" for i in range(1, count + 9)]
    for name in names:
        write(folder / "img_align_celeba" / name, encode(generator.integers(0, 256, (218, 178, 3), dtype=np.uint8)))
    partition = "".join(f"{name} {int(i >= count)}\n" for i, name in enumerate(names)).encode()
    marks = [" ".join(str(2 * int(bit) - 1) for bit in generator.integers(0, 2, len(NAMES))) for _ in names]
    rows = [f"{name} {row}" for name, row in zip(names, marks, strict=True)]
    table = "\n".join([str(len(names)), " ".join(NAMES), *rows, ""]).encode()
    files = {"list_eval_partition.txt": partition} | ({"list_attr_celeba.txt": table} if attributes else {})
    for name, data in files.items():
        write(folder / name, data)
    digests = {name: md5(data) for name, data in files.items()}
    monkeypatch.setattr(sources, "file_hashes", lambda name: digests)
