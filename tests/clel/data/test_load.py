"""Names, paths and splits."""

import os
from pathlib import Path

import numpy as np
import pytest

from clel.config import ConfigError
from clel.data import DataError, load
from clel.data.registry import data_root, names


def test_names() -> None:
    expected = "digits shapes cifar10 cifar100 svhn mnist fashion_mnist celeba64 celeba32 dtd imagenet32"
    assert sorted(names()) == sorted(expected.split())


def test_an_unknown_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match="unknown data set 'cifar1O'; did you mean 'cifar10'"):
        load("cifar1O")
    with pytest.raises(ConfigError, match="unknown split 'tset'; did you mean 'test'"):
        load("digits", "tset")


def test_a_path_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"looked for faces\.zip and .*faces\.zip"):
        load("faces.zip", root=tmp_path)
    with pytest.raises(DataError, match="looked for"):
        load(tmp_path / "none")


def test_relative_paths_are_looked_for_under_the_root_too(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", images=np.zeros((4, 2, 2), np.uint8))
    assert len(load("a.npz", root=tmp_path)) == 3


def test_a_name_goes_before_a_folder_of_that_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "digits").mkdir()
    monkeypatch.chdir(tmp_path)
    assert len(load("digits")) == 1347


def test_the_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CLEL_DATA", raising=False)
    assert data_root() == Path("data")
    monkeypatch.setenv("CLEL_DATA", str(tmp_path))
    assert data_root() == tmp_path
    monkeypatch.setenv("CLEL_DATA", "~/x")
    assert data_root() == Path(os.path.expanduser("~/x"))
