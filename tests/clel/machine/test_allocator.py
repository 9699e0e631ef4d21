"""The allocator's settings, looked at in a process of its own each."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="glibc's settings")

START = """
import resource
import statistics
from pathlib import Path
from clel.machine.allocator import allocation, let_engines_tune, tune_allocator
assert not tune_allocator("fast")  # not without a program's word
let_engines_tune()
assert not tune_allocator("exact") and not tune_allocator(None) and allocation().startswith("as the C library has it")
if {tune}:
    assert tune_allocator("fast") and allocation().startswith("tuned")
import torch

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

def held():
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 2**20
"""

CHAIN = """
def step():
    a, b = torch.ones(1 << 18), torch.ones(1 << 18)  # of 1 MiB
def paid():
    before = faults()
    step()
    return faults() - before
print(statistics.median(paid() for _ in range(21)))  # a heap that still grows pays in a step or two
"""

HOLES = """
for _ in range(3):
    torch.ones(2 << 20)  # of 8 MiB; glibc learns from the first to be freed that such a size comes again
before = held()
tensors = [torch.ones(2 << 20) for _ in range(20)]
full = held() - before
del tensors[::2]
print((held() - before) / full)
"""


def measured(what: str, tune: bool) -> list[float]:
    """The numbers that the lines `what` print in a fresh process."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith("MALLOC_")}
    # without huge pages, which would hide faults
    environment = clean | {"OMP_NUM_THREADS": "1", "THP_MEM_ALLOC_ENABLE": "0"}
    code = START.format(tune=tune) + what
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    return [float(line) for line in done.stdout.splitlines()]


@pytest.mark.slow
def test_activations_of_a_step_stay_and_large_tensors_go_back() -> None:
    """The next step pays for no page again.

    Of twenty large tensors, each second one freed, half of the memory goes back to the system; untuned all of it stays.
    """
    paid, left = measured(CHAIN + HOLES, tune=True)
    assert paid < 1 and left == pytest.approx(0.5, abs=0.05)
    assert measured(HOLES, tune=False)[0] > 0.9
