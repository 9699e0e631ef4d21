"""A process that works when told to, for what a process has once.

python -m tests.benchmarks.worker ALLOCATOR WORK SIZE ENGINE

When it is ready, and for each line that it reads after it worked once, it writes its seconds of processor until then
and its peak memory in MiB.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from clel.machine.allocator import ENGINES, let_engines_tune, tune_allocator
from clel.machine.threads import SAID_BY

ROOT = Path(__file__).resolve().parents[2]
TUNED_BY = ("MALLOC_", "THP_MEM_ALLOC_ENABLE")
"""How the names begin, in the environment, of what the allocator's settings are read from."""


class Worker:
    """One with the allocator's settings or without; `once` works once, `close` ends.

    Args:
        tuned: whether it has the settings of the engine `fast`, whatever its own.
        work: "chain", "training" (the passes), "iteration" (both and the updates; two Langevin steps a chain), "whole"
            (with 60 of them), or "digits" (an iteration of the quick preset).
        full: the sizes to measure; False where it only has to run.
        waiting: variables that say how threads wait; the environment's own if None.

    Attributes:
        seconds: of processor, used so far.
        peak: resident memory so far, MiB.
    """

    def __init__(
        self, tuned: bool, work: str, full: bool, engine: str = "fast", waiting: Mapping[str, str] | None = None
    ) -> None:
        clean = {name: value for name, value in os.environ.items() if not name.startswith(TUNED_BY)}
        if waiting is not None:
            clean = {name: value for name, value in clean.items() if name not in SAID_BY} | dict(waiting)
        words = ["tuned" if tuned else "untuned", work, "full" if full else "tiny", engine]
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


@contextmanager
def in_turn(workers: Mapping[str, Worker]) -> Iterator[tuple[dict[str, Callable[[], object]], dict[str, Any]]]:
    """Calls, and seconds of processor, as `alternate` takes them, of workers that are ready; ended afterwards."""
    try:
        for worker in workers.values():
            worker.wait()
        calls: dict[str, Callable[[], object]] = {name: worker.once for name, worker in workers.items()}
        yield calls, {name: lambda w=worker: w.seconds for name, worker in workers.items()}
    finally:
        for worker in workers.values():
            worker.close()


def engines(work: str, full: bool) -> dict[str, Worker]:
    """The authors' arithmetic and the engine `fast`, each with the settings that it has in a training."""
    return {name: Worker(name in ENGINES, work, full, name) for name in ("exact", "fast")}


def main(allocator: str, work: str, size: str, engine: str) -> None:
    """See above."""
    if allocator == "tuned":
        let_engines_tune()
        tune_allocator("fast")
    # torch makes its first tensors here, after the settings
    import torch

    from clel.chains.switches import switches
    from clel.methods.clel import CLEL
    from tests.benchmarks.switched import CPU, STEPS, WHOLE, build, chain, digits, iteration, losses, threads

    full = size == "full"
    torch.set_num_threads(threads() if full else 1)
    if work == "digits":
        method = digits(CLEL, engine, full)
    else:
        steps = 0 if work == "training" else WHOLE if work == "whole" and full else STEPS
        method = build(full, switches(engine, CPU), steps=steps)  # type: ignore[arg-type]
    makes = {"chain": chain, "training": lambda method: lambda: losses(method)}.get(work, iteration)
    call = makes(method)

    def report() -> None:
        print(time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, flush=True)

    report()
    for _ in sys.stdin:
        call()
        report()


if __name__ == "__main__":
    main(*sys.argv[1:])
