"""A process that works when told to, for what a process has once: -m tests.benchmarks.worker ALLOCATOR WORK SIZE.

When it is ready, and for each line that it reads after it worked once, it writes its seconds of processor until then
and its peak memory in MiB.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import time
from pathlib import Path

from clel.allocator import tune_allocator

ROOT = Path(__file__).resolve().parents[2]
TUNED_BY = ("MALLOC_", "THP_MEM_ALLOC_ENABLE")
"""How the names begin, in the environment, of what the allocator's settings are read from."""


class Worker:
    """One with the allocator's settings or without, for `work` "chain" or "training"; `once` works once, `close` ends.

    Attributes:
        seconds: of processor, used so far.
        peak: resident memory so far, MiB.
    """

    def __init__(self, tuned: bool, work: str, full: bool) -> None:
        clean = {name: value for name, value in os.environ.items() if not name.startswith(TUNED_BY)}
        words = ["tuned" if tuned else "untuned", work, "full" if full else "tiny"]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.benchmarks.worker", *words],
            cwd=ROOT,
            env=clean,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.seconds, self.peak = 0.0, 0.0

    def wait(self) -> None:
        """Until it is ready."""
        self.seconds, self.peak = map(float, self._read().split())

    def once(self) -> None:
        """Have it work once, and wait for that."""
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        self.seconds, self.peak = map(float, self._read().split())

    def close(self) -> None:
        """End it, whatever it does, and wait for that: its time is to be counted as ours."""
        self.process.kill()
        self.process.communicate()

    def _read(self) -> str:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"the worker ended with status {self.process.wait()}; its message is above")
        return line


def main(allocator: str, work: str, size: str) -> None:
    """See above."""
    if allocator == "tuned":
        tune_allocator()
    # torch makes its first tensors here, after the settings
    import torch

    from clel.engine import switches
    from tests.benchmarks.switched import CPU, STEPS, build, chain, losses, threads

    torch.set_num_threads(threads() if size == "full" else 1)
    method = build(size == "full", switches("fast", CPU), steps=STEPS if work == "chain" else 0)
    call = chain(method) if work == "chain" else lambda: losses(method)

    def report() -> None:
        print(time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, flush=True)

    report()
    for _ in sys.stdin:
        call()
        report()


if __name__ == "__main__":
    main(*sys.argv[1:])
