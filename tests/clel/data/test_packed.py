"""Archives as StyleGAN's and EDM's tools pack them: chunks are no classes, and labels are in dataset.json."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from clel.data import DataError, load
from clel.data.readers.packed import in_chunks
from clel.storage.log import Notice
from tests.clel.data.conftest import encode
from tests.clel.data.test_folder import pack_zip

N = 1300


def packed(path: Path, labels: Any, n: int = N) -> Path:
    """n images of one grey value each, packed a thousand a folder; labels: None for no dataset.json."""
    files = {f"{i // 1000:05d}/img{i:08d}.png": encode(np.full((4, 4), i % 251, np.uint8)) for i in range(n)}
    if labels is not None:
        files["dataset.json"] = json.dumps({"labels": labels(list(files))}).encode()
    return pack_zip(path, files)


def test_labels_are_those_of_the_list(tmp_path: Path) -> None:
    path = packed(tmp_path / "x.zip", lambda names: [[name, i % 7] for i, name in enumerate(names)])
    train, test = load(path), load(path, "test")
    assert len(train) + len(test) == N and train.classes == test.classes == tuple("0123456")
    for images in (train, test):
        assert images.labels is not None
        values = images.pixels[:, 0, 0, 0]
        of = {i % 251: set() for i in range(N)}  # type: ignore[var-annotated]
        for i in range(N):
            of[i % 251].add(i % 7)
        assert all(int(label) in of[int(v)] for v, label in zip(values, images.labels, strict=True))


@pytest.mark.parametrize("labels", [None, lambda names: None])
def test_chunks_without_labels_are_no_classes(tmp_path: Path, labels: Any) -> None:
    path = packed(tmp_path / "x.zip", labels)
    with pytest.warns(Notice, match="chunks of numbered files, not classes"):
        train = load(path)
    assert train.labels is None and train.classes == ()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert len(train) + len(load(path, "test")) == N


def test_classes_that_have_numbers_as_names_stay_classes(tmp_path: Path) -> None:
    files = {f"{k}/{i:08d}.png": encode(np.full((4, 4), i, np.uint8)) for k in range(2) for i in range(12)}
    assert load(pack_zip(tmp_path / "x.zip", files)).classes == ("0", "1")
    assert not in_chunks(["00001/img00000000.png"]) and not in_chunks([]) and not in_chunks(["a/1.png"])
    assert in_chunks(["00001/img00001000.png", "00000/img00000000.png"])
    # chunks of another size; numbers that begin anew in each folder are a class's own
    assert in_chunks([f"{i // 600:05d}/img{i:08d}.png" for i in range(1800)])
    assert not in_chunks([f"{k:05d}/img{i:08d}.png" for k in range(3) for i in range(600)])


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (lambda names: [[name, 0] for name in names[1:]], "no label of 1 images, such as 00000/img00000000.png"),
        (lambda names: [[name, [0, 1]] for name in names], "expected whole numbers from 0"),
        (lambda names: [[name, -1] for name in names], "expected whole numbers from 0"),
        (lambda names: [[name, 10**12] for name in names], "number classes 0, 1, 2"),
        (lambda names: 5, "cannot be read"),
    ],
)
def test_lists_that_cannot_be_meant(tmp_path: Path, labels: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        load(packed(tmp_path / "x.zip", labels, n=20))
