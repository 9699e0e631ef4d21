"""A training iteration and the sampler of every method, as its quick preset has them."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
import torch

from baselines import METHODS
from clel.runs.config import resolve
from experiments.speed.profiles import DIGITS
from experiments.speed.work import Work, stages_of

Timed = Callable[[Callable[[], object], float], None]
pytestmark = pytest.mark.cpu  # the sizes of the quick profile, which is the CPU's
STAGES = [
    pytest.param(name, number, id=f"{name}-{stage.name}")
    for name in METHODS
    for number, stage in stages_of(resolve(METHODS, name, "quick"), DIGITS)
]


def ready(method: str, number: int, steps: int | None) -> tuple[Work, float]:
    """The method in its stage with chains of so many steps, its own if None; after an iteration, and what that took."""
    work = Work(resolve(METHODS, method, "quick", device="cpu"), DIGITS, number, torch.device("cpu"), steps)
    if steps is None:
        work.iteration()  # what is made once
    began = time.perf_counter()
    work.iteration()
    return work, time.perf_counter() - began


@pytest.mark.parametrize(("method", "number"), STAGES)
def test_training_iteration(timed: Timed, few: int | None, method: str, number: int) -> None:
    work, seconds = ready(method, number, few)
    timed(work.iteration, seconds)


@pytest.mark.parametrize(("method", "number"), STAGES)
def test_sampling(timed: Timed, few: int | None, benchmark: Any, method: str, number: int) -> None:
    """As many images as an iteration has, with as many steps as its chains have."""
    work, seconds = ready(method, number, few)
    steps = work.stage.gradient_evaluations or None
    benchmark.extra_info.update({"images": work.images, "steps": steps})
    timed(lambda: work.sample(steps), seconds)
