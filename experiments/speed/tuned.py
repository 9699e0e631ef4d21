"""pytest's plugin for `make bench`: only benchmarks run, with the allocator's settings that a training has."""

from __future__ import annotations

import pytest

from clel.allocator import tune_allocator


def pytest_configure(config: pytest.Config) -> None:
    """Before any tensor is made."""
    tune_allocator()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the tests beside them, so that pytest says so where no benchmark is left."""
    others = [item for item in items if "benchmark" not in getattr(item, "fixturenames", ())]
    config.hook.pytest_deselected(items=others)
    items[:] = [item for item in items if item not in others]
