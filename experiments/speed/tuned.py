"""pytest's plugin for `make bench`: benchmarks run with the allocator's settings that a training has, tests do not."""

from __future__ import annotations

import pytest

from clel.allocator import tune_allocator


def pytest_configure(config: pytest.Config) -> None:
    """Before any tensor is made."""
    tune_allocator()
