"""What it takes that threads sleep while they wait (clel/machine/threads.py), and what it brings beside other work.

Two processes in turn, one whose threads spin as the runtime has it and one whose threads sleep, both with the settings
of a training. `idle` means something on a machine that does nothing else; `beside` brings its own other work, a process
that never rests.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from clel.machine.allocator import ENGINES
from clel.machine.costs import Others
from clel.machine.threads import POLICY
from tests.benchmarks.switched import Bench, alternate
from tests.benchmarks.worker import Worker, in_turn

WAITING = {"spinning": {}, "asleep": {POLICY: "PASSIVE"}}


@contextmanager
def other_work(processes: int) -> Iterator[None]:
    """Inside, so many processes want a core each."""
    started = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(processes)]
    try:
        yield
    finally:
        for process in started:
            process.kill()
            process.wait()


@pytest.mark.cpu
@pytest.mark.parametrize("others", [0, 1], ids=["idle", "beside"])
@pytest.mark.parametrize(
    ("work", "engine"),
    [("digits", "fast"), ("digits", "exact"), ("iteration", "fast"), ("iteration", "exact")],
    ids=["digits-fast", "digits-exact", "small-fast", "small-exact"],
)
def test_waiting(bench: Bench, work: str, engine: str, others: int) -> None:
    """An iteration of CLEL: quick on digits, or small at 3x32x32 with two Langevin steps."""
    workers = {name: Worker(engine in ENGINES, work, bench.full, engine, way) for name, way in WAITING.items()}
    with in_turn(workers) as (calls, processor), other_work(others):
        watch = Others()
        alternate(bench, calls, 7 if work == "digits" else 3, processor)
        bench.benchmark.extra_info["others_core_seconds"] = watch.taken()  # the workers' own among them
