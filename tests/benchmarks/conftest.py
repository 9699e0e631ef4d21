"""Of the files here `make test` runs the assertions; timings run with --benchmark-enable, as in `make bench`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.benchmarks.switched import Bench, threads

HERE = Path(__file__).parent


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the timings of this folder unless benchmarks are enabled."""
    if config.getoption("benchmark_enable", default=False):
        return
    timings = [item for item in items if HERE in item.path.parents and "benchmark" in getattr(item, "fixturenames", ())]
    if timings:
        config.hook.pytest_deselected(items=timings)
        items[:] = [item for item in items if item not in timings]


@pytest.fixture
def bench(benchmark: Any, request: pytest.FixtureRequest) -> Iterator[Bench]:
    """Where one times things in turn; on the threads that the targets are stated for."""
    rounds, device = request.config.getoption("rounds", default=15), request.config.getoption("device", default="cpu")
    before, chosen = torch.get_num_threads(), Bench(benchmark, rounds, torch.device(device))
    # on tiny images two would wait for each other
    torch.set_num_threads(threads() if chosen.full else 1)
    yield chosen
    torch.set_num_threads(before)
