"""Of the files here `make test` runs the assertions; timings run with --benchmark-enable, as in `make bench`."""

from __future__ import annotations

from pathlib import Path

import pytest

HERE = Path(__file__).parent


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the timings of this folder unless benchmarks are enabled."""
    if config.getoption("benchmark_enable", default=False):
        return
    timings = [item for item in items if HERE in item.path.parents and "benchmark" in getattr(item, "fixturenames", ())]
    if timings:
        config.hook.pytest_deselected(items=timings)
        items[:] = [item for item in items if item not in timings]
