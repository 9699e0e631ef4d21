"""What the allocator's settings bring (clel/allocator.py): a process with them against one without, in turn."""

from __future__ import annotations

import sys

import pytest

from tests.benchmarks.switched import Bench, alternate
from tests.benchmarks.worker import Worker


@pytest.mark.cpu
@pytest.mark.skipif(sys.platform != "linux", reason="glibc's settings")
@pytest.mark.parametrize("work", ["chain", "training"])
def test_allocator(bench: Bench, work: str) -> None:
    """Two Langevin steps of 64 chains, or the training passes of one iteration, both with the engine `fast`."""
    workers = {name: Worker(name == "on", work, bench.full) for name in ("off", "on")}
    try:
        for worker in workers.values():
            worker.wait()
        calls = {name: worker.once for name, worker in workers.items()}
        processor = {name: lambda w=worker: w.seconds for name, worker in workers.items()}  # type: ignore[misc]
        alternate(bench, calls, 9 if work == "chain" else 5, processor)
        bench.benchmark.extra_info.update({f"{name}_peak_mib": round(w.peak) for name, w in workers.items()})
    finally:
        for worker in workers.values():
            worker.close()
