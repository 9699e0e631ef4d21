"""For all benchmarks: how many rounds, on which device, all threads. Run by `make bench`, never by `make test`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch

from experiments.speed.profiles import LEAST

THREADS = torch.get_num_threads()
WARMUP, ROUNDS = 2, 15
SECONDS = 5.0
"""The rounds of one benchmark take about so long, at most."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--rounds", type=int, default=ROUNDS, help="measured rounds at most; 1 only sees that all run")
    parser.addoption("--device", default="cpu", help="where the engine's switches are measured")


@pytest.fixture(autouse=True)
def _all_threads() -> Iterator[None]:
    """Those that torch took at the start, whatever tests before asked for."""
    before = torch.get_num_threads()
    torch.set_num_threads(THREADS)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def few(request: pytest.FixtureRequest) -> int | None:
    """Langevin steps of a chain where it only has to run: 2. None for a method's own."""
    return 2 if request.config.getoption("rounds") == 1 else None


@pytest.fixture
def timed(benchmark: Any, request: pytest.FixtureRequest) -> Callable[[Callable[[], object], float], None]:
    """Call it with the work and about how many seconds that takes."""
    rounds: int = request.config.getoption("rounds")

    def run(work: Callable[[], object], seconds: float) -> None:
        if rounds == 1:
            benchmark.pedantic(work, rounds=1)
            return
        fitting = int(SECONDS / max(seconds, 1e-9))
        benchmark.pedantic(
            work, rounds=max(LEAST, min(rounds, fitting)), warmup_rounds=WARMUP if fitting > LEAST else 0
        )

    return run
