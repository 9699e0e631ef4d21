"""What the allocator's settings bring (clel/machine/allocator.py): a process with them against one without, in turn."""

from __future__ import annotations

import sys

import pytest

from tests.benchmarks.switched import Bench, alternate
from tests.benchmarks.worker import Worker, in_turn

pytestmark = [pytest.mark.cpu, pytest.mark.skipif(sys.platform != "linux", reason="glibc's settings")]


@pytest.mark.parametrize("work", ["chain", "training"])
def test_allocator(bench: Bench, work: str) -> None:
    """Two Langevin steps of 64 chains, or the training passes of one iteration, both with the engine `fast`."""
    compare(bench, work, "fast")


@pytest.mark.parametrize("engine", ["float32", "exact"])
@pytest.mark.parametrize("work", ["chain", "training"])
def test_allocator_of_others(bench: Bench, work: str, engine: str) -> None:
    """The same with an engine that keeps a batch whole, for which a training leaves the settings off."""
    compare(bench, work, engine)


def compare(bench: Bench, work: str, engine: str) -> None:
    """Off against on."""
    workers = {name: Worker(name == "on", work, bench.full, engine) for name in ("off", "on")}
    with in_turn(workers) as (calls, processor):
        alternate(bench, calls, 9 if work == "chain" else 5, processor)
        bench.benchmark.extra_info.update({f"{name}_peak_mib": round(w.peak) for name, w in workers.items()})
