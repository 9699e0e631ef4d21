"""The benchmarks of one job, which child.py hands to pytest: rounds by pytest-benchmark, the device waited for in each.

In this order, since memory is read where only training has happened yet: a short iteration (chains of one step), the
whole one, the sampler without and with steps.
"""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import Any

import pytest
import torch

from baselines import METHODS
from clel.chains.switches import FallbackWarning
from clel.machine.costs import now, peak_memory
from clel.storage.log import plain
from experiments.speed.ceiling import Product, products
from experiments.speed.flops import FlopCount
from experiments.speed.job import Job
from experiments.speed.memory import start_of_peak
from experiments.speed.work import Work, countable


class Session:
    """What the tests of one job share: the job, the baseline of memory, and what is found beside the rounds.

    A pytest plugin, so that its fixtures are theirs.
    """

    def __init__(self, job: Job) -> None:
        self.job, self.device = job, torch.device(job.device)
        self.found: dict[str, Any] = {}
        self.failures: list[str] = []
        self.fallbacks: list[str] = []
        self.short_seconds = self.step_seconds = 0.0
        self.baseline = start_of_peak(self.device)

    def pytest_exception_interact(self, node: Any, call: Any, report: Any) -> None:
        """Keep what went wrong, for the record."""
        self.failures.append(f"{call.excinfo.typename}: {(str(call.excinfo.value) or 'no message').splitlines()[0]}")

    def pytest_warning_recorded(self, warning_message: Any) -> None:
        """Keep what of the engine did not work, for the record: the rounds are those of the plainer way."""
        text = str(warning_message.message)
        if issubclass(warning_message.category, FallbackWarning) and text not in self.fallbacks:
            self.fallbacks.append(text)

    def pytest_generate_tests(self, metafunc: Any) -> None:
        """A test for each product of the ceiling."""
        if "product" in metafunc.fixturenames:
            found = [] if self.job.run is not None else products(self.job.effort, self.device)
            metafunc.parametrize("product", found, ids=[p.name for p in found])

    @pytest.fixture(scope="session")
    def session(self) -> Session:
        return self

    def work(self, steps: int | None = None, counted: bool = False) -> Work:
        """The job's method, once what was there before is gone; on request so that no operation is hidden."""
        gc.collect()
        if self.job.run is None:
            pytest.skip("a job without a method")
        run, methods = countable(self.job.run) if counted else (self.job.run, METHODS)
        return Work(run, self.job.effort.spec, self.job.stage, self.device, steps, methods)

    def timed(self, work: Callable[[], object]) -> float:
        """Seconds of one call."""
        began = now(self.device)
        work()
        return now(self.device) - began

    def rounds(self, benchmark: Any, work: Callable[[], object], seconds: float) -> None:
        """Rounds of something that takes about so many seconds, after others that do not count."""
        rounds = self.job.rounds(seconds)
        benchmark.pedantic(work, rounds=rounds, warmup_rounds=self.job.effort.warmup)


def test_short(benchmark: Any, session: Session) -> None:
    """An iteration with chains of one step; with one of three, what a step and so the whole iteration will take."""
    work = session.work(1)
    steps = work.stage.gradient_evaluations
    session.found |= {
        "stage": work.stage.name,
        "stage_iterations": work.stage.iterations,
        "images": work.images,
        "parameters": work.parameters,
        "engine": work.engine,
    }
    work.iteration()
    session.short_seconds = session.timed(work.iteration)
    session.rounds(benchmark, work.iteration, session.short_seconds)
    del work
    whole = session.work()
    session.found["steps"] = whole.stage.gradient_evaluations
    del whole
    if steps:
        longer = session.work(3)
        longer.iteration()
        session.step_seconds = max(0.0, session.timed(longer.iteration) - session.short_seconds) / 2


def test_iteration(benchmark: Any, session: Session) -> None:
    """The whole iteration, or one of as many Langevin steps as patience allows; and the peak of memory so far."""
    patience, steps = session.job.effort.patience, session.found.get("steps", 0)
    allowed = max(2, int((patience - session.short_seconds) / max(session.step_seconds, 1e-9)))
    measured = min(steps, allowed)
    session.found["measured_steps"] = measured
    work = session.work(measured if measured < steps else None)
    work.iteration()
    session.rounds(benchmark, work.iteration, session.short_seconds + measured * session.step_seconds)
    peak, kind = peak_memory(session.device)
    session.found |= {"peak_memory_bytes": max(0, peak - session.baseline), "peak_memory_kind": kind}
    session.found |= {"baseline_bytes": session.baseline, "loss": plain(work.loss)}


def test_sampling_start(benchmark: Any, session: Session) -> None:
    """The sampler with no step: noise, and whatever else is not a step. The whole sampler, where it has no steps."""
    if not session.job.whole:
        pytest.skip("not asked for")
    work = session.work().entered()
    steps = 0 if work.stage.gradient_evaluations else None
    session.found["sampled_images"] = work.images
    session.rounds(benchmark, lambda: work.sample(steps), session.timed(lambda: work.sample(steps)))


def test_sampling(benchmark: Any, session: Session) -> None:
    """The sampler with as many steps as an iteration has, or as patience allows."""
    steps = session.found.get("measured_steps", 0)
    if not (session.job.whole and steps):
        pytest.skip("not asked for, or no steps")
    work = session.work().entered()
    session.found["sampled_steps"] = steps
    session.rounds(benchmark, lambda: work.sample(steps), session.timed(lambda: work.sample(steps)))


def test_operations(session: Session) -> None:
    """Operations of an iteration, from those of iterations with one Langevin step and with two."""
    if not session.job.whole:
        pytest.skip("not asked for")
    one = _operations(session, 1)
    session.found |= {"flop_short": one, "flop_step": 0}
    if session.found.get("steps"):
        session.found["flop_step"] = _operations(session, 2) - one


def _operations(session: Session, steps: int) -> int:
    work = session.work(steps, counted=True).entered()
    with FlopCount() as count:
        work.iteration()
    return count.total


def test_product(benchmark: Any, session: Session, product: Product) -> None:
    """One product of the practical ceiling."""
    work = product.work(session.device)
    benchmark.extra_info.update({"flop": product.flop, "dtype": product.dtype, "kind": product.kind})

    def call() -> None:
        work()
        now(session.device)

    call()
    session.rounds(benchmark, call, session.timed(call))
