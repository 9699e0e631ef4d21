"""For all tests: one thread, so that results do not hang on the number of cores; one cache of feature spaces."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

import pytest
import torch

from clel.data import load
from clel.metrics import classifier_space


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Path:
    """A cache of feature spaces that all processes of the session share: the digits' classifier is trained once."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if hasattr(request.config, "workerinput") else base) / "feature-spaces"
    # between sessions, for whoever runs single files again and again
    folder = Path(os.environ.get("CLEL_TEST_CACHE") or folder)
    folder.mkdir(exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        classifier_space(load("digits"), cache=folder)
    return folder
