"""For all tests: one thread, so that results do not hang on the number of cores."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache of feature spaces that the whole session shares: the digits' classifier is trained once."""
    return tmp_path_factory.mktemp("cache")
