"""Estimates of a run's time and memory, compared with a method of known cost."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from baselines import METHODS
from clel.data import ImageSpec
from clel.methods.ebm import adam
from clel.methods.method import Method, Optimisation
from clel.methods.settings import EvaluateConfig, Recipe, TrainConfig
from clel.methods.stages import Stage
from clel.runs.config import resolve
from experiments.sweep import estimate as module
from experiments.sweep.estimate import estimate, shrunk

SPEC = ImageSpec(1, 8, (0.5,), (0.5,))
STEP, GRADIENT = 0.004, 0.002
"""Seconds an image."""


@dataclass(frozen=True)
class Chain:
    steps: int = 10


@dataclass(frozen=True)
class SlowConfig:
    batch_size: int = 8
    first_batch_size: int = 16
    langevin: Chain = field(default_factory=Chain)


class Clock:
    """Seconds, which pass only when work is done."""

    seconds = 0.0

    @classmethod
    def work(cls, seconds: float) -> None:
        cls.seconds += seconds


class Slow(Method):
    """Two stages of known cost: the first without chains, on more images."""

    title, Config = "Slow", SlowConfig

    def __init__(self, config: SlowConfig, spec: ImageSpec) -> None:
        super().__init__(config, spec)
        self.network, self.stage = nn.Linear(64, 1), 0

    @classmethod
    def recipes(cls) -> Mapping[str, Recipe]:
        return {"quick": Recipe(SlowConfig(), TrainConfig(iterations=100), EvaluateConfig(samples=50, steps=20), None)}

    @property
    def images_per_step(self) -> int:
        return self.config.first_batch_size

    def stages(self, iterations: int) -> tuple[Stage, ...]:
        first = Stage("first", 60, images=self.config.first_batch_size)
        return first, Stage("second", iterations - 60, self.config.langevin.steps)

    def enter_stage(self, number: int, *state: Any) -> None:
        self.stage = number

    def optimisers(self, iterations: int) -> list[Optimisation]:
        return [adam(self.parameters(), 1e-3, (0.9, 0.999), 0)]

    def training_step(self, images: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
        assert len(images) == self.images_per_step
        if self.stage == 0:
            Clock.work(STEP * self.config.first_batch_size)
        else:
            Clock.work((STEP + GRADIENT * self.config.langevin.steps) * self.config.batch_size)
        return {"loss": self.network(images.flatten(1)).mean()}

    def sample(self, n: int, generator: torch.Generator, steps: int | None = None) -> Tensor:
        Clock.work(GRADIENT * n * (steps or 0))
        return torch.rand(n, 1, 8, 8)


@pytest.mark.parametrize("patience", [0.0, 100.0], ids=["few images", "whole batches"])
def test_every_stage_counts_with_its_own_images_and_gradients(monkeypatch: Any, patience: float) -> None:
    monkeypatch.setattr(module, "METHODS", {"slow": Slow})
    monkeypatch.setattr(module, "PATIENCE", patience)
    monkeypatch.setattr(module, "now", lambda device: Clock.seconds)
    training = 60 * 16 * STEP + 40 * 8 * (STEP + 10 * GRADIENT)
    guess = estimate(resolve({"slow": Slow}, "slow", "quick"), SPEC)
    assert guess.seconds == pytest.approx(training + 50 * 20 * GRADIENT)


def test_minutes_are_the_time_of_training_and_make_its_iterations(monkeypatch: Any) -> None:
    monkeypatch.setattr(module, "METHODS", {"slow": Slow})
    monkeypatch.setattr(module, "now", lambda device: Clock.seconds)
    run = resolve({"slow": Slow}, "slow", "quick")
    assert estimate(run, SPEC).iterations == 100
    guess = estimate(replace(run, train=replace(run.train, minutes=2.0)), SPEC)
    assert guess.seconds == pytest.approx(120 + 50 * 20 * GRADIENT)
    training = 60 * 16 * STEP + 40 * 8 * (STEP + 10 * GRADIENT)
    assert guess.iterations == round(100 * 120 / training)


@pytest.mark.parametrize("goes_on", [True, False])
def test_chains_beyond_their_steps_count(monkeypatch: Any, goes_on: bool) -> None:
    """40 of them, which go on to 60 steps, or are sampled anew for 20 and for 60."""

    class Onward(Slow):
        def continue_chains(self, x: Tensor, generator: torch.Generator, steps: int | None = None) -> Tensor:
            return x

    methods = {"slow": Onward if goes_on else Slow}
    monkeypatch.setattr(module, "METHODS", methods)
    monkeypatch.setattr(module, "FOLLOWED", 40)
    monkeypatch.setattr(module, "now", lambda device: Clock.seconds)
    run = resolve(methods, "slow", "quick")
    without, further = (estimate(replace(run, evaluate=replace(run.evaluate, beyond=b)), SPEC) for b in (1.0, 3.0))
    assert further.seconds - without.seconds == pytest.approx(40 * (60 if goes_on else 20 + 60) * GRADIENT)


@pytest.mark.parametrize("name", METHODS)
def test_every_method_can_be_estimated(name: str) -> None:
    run = resolve(METHODS, name, "quick")
    guess = estimate(replace(run, evaluate=replace(run.evaluate, samples=100)), SPEC)
    assert guess.seconds > 0 and guess.memory > 0


@pytest.mark.parametrize("name", ["vae", "drl"])
def test_memory_of_a_batch_follows_from_that_of_small_ones(name: str, monkeypatch: Any) -> None:
    """As if a batch of 64 took too long: from 2 and 4 images within 2 % of what it is when measured."""
    run = resolve(METHODS, name, "quick")
    run = replace(run, evaluate=replace(run.evaluate, samples=100))
    found = []
    for patience in (0.0, 1e9):
        monkeypatch.setattr(module, "PATIENCE", patience)
        found.append(estimate(run, SPEC).memory)
    weights = sum(p.nbytes for p in METHODS[name].create("quick", SPEC, 0).parameters())
    assert found[0] == pytest.approx(found[1], rel=0.02) and found[1] > 5 * weights


def test_shrunk_keeps_two_images_for_batch_norm() -> None:
    small = shrunk(SlowConfig(), 8)
    assert dataclasses.asdict(small) == {"batch_size": 2, "first_batch_size": 2, "langevin": {"steps": 1}}
