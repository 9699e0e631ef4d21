"""For all tests: one thread, so that results do not hang on the number of cores; one cache of feature spaces."""

from __future__ import annotations

import fcntl
import gc
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from clel.commands.cli import main
from clel.data import load
from clel.features.classifier import NAME as CLASSIFIER
from clel.features.classifier import classifier_space
from clel.storage.cache import cache_root
from tests.small_run import SMALL


def pytest_configure(config: pytest.Config) -> None:
    """xdist shares files out in the order in which they stand here, instead of those with the most tests first."""
    config.option.loadscopereorder = False


@pytest.hookimpl(tryfirst=True)  # before -m leaves any out
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with slow tests first, so that what processes do last is short, and they end together."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


def pytest_collection_finish() -> None:
    """What is imported by now stays: the collector need not go through it again and again."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(autouse=True, scope="session")
def _no_waiting_for_disks() -> Iterator[None]:
    """No machine loses its power here; on a slow disk these waits are a good part of the tests' time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda handle: None)
        yield


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Path:
    """A cache of feature spaces that all processes of the session share: the digits' classifier is trained once.

    Or not at all, where the user's own cache has it already, as after `make table1`.
    """
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if hasattr(request.config, "workerinput") else base) / "feature-spaces"
    folder.mkdir(exist_ok=True)
    known = cache_root()
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for trained in known.glob(f"{CLASSIFIER}-*"):
            shutil.copytree(trained, folder / trained.name, ignore=shutil.ignore_patterns(".*"), dirs_exist_ok=True)
        classifier_space(load("digits"), cache=folder)
    return folder


@pytest.fixture(scope="session")
def once(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> Path:
    """The folder of a small run (tests/small_run.py) that was trained for all tests of the command line."""
    folder = tmp_path_factory.mktemp("once") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CLEL_CACHE", str(cache))
        assert main(["train", "clel", "--out", str(folder), *SMALL]) == 0
    return folder


@pytest.fixture
def run(once: Path, tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A trained run's folder, a copy to work in."""
    monkeypatch.setenv("CLEL_CACHE", str(cache))
    shutil.copytree(once, tmp_path / "run")
    return tmp_path / "run"
