"""Stages of a training: what a method trains one after the other, and what each of them has cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from clel.config import require


@dataclass(frozen=True)
class Stage:
    """Part of a training, in the order of training: a VAE before the energy that refines it, for example."""

    name: str
    """Short name, a lower-case word: it ends the names of the record's costs (seconds_<name>)."""
    iterations: int
    """Training iterations; 0 for a stage that is left out."""
    gradient_evaluations: int = 0
    """Batches of dE/dx that one of its iterations takes."""
    images: int | None = None
    """Training images of one of its iterations; the method's `config.batch_size` if None."""


@dataclass(frozen=True)
class StageCost:
    """What one stage took."""

    name: str
    iterations: int
    """Iterations that stand (those that a roll-back undid are in the seconds alone)."""
    seconds: float
    peak_memory_bytes: int
    """Peak while it ran on a GPU; of the process until its end on the CPU."""


@dataclass(frozen=True)
class Place:
    """The stage that an iteration belongs to: its number, its iterations start <= t < end, and images of each."""

    number: int
    start: int
    end: int
    batch: int


class Ledger:
    """Steps, seconds and peak memory of each stage so far; steps and seconds that a roll-back undid stay counted.

    `others` are core-seconds that other programs took in `watched` of the seconds, those in which that was known.
    `batch` is the images of an iteration where the stage does not say.

    Raises:
        ConfigError: the stages do not add up to the iterations, or share a name.
    """

    def __init__(self, stages: Sequence[Stage], iterations: int, batch: int) -> None:
        total = sum(stage.iterations for stage in stages)
        require(
            total == iterations and min(stage.iterations for stage in stages) >= 0,
            f"the stages take {total} iterations ({_listed(stages)}); expected {iterations} in all, none negative",
        )
        require(len({stage.name for stage in stages}) == len(stages), f"stages share a name: {_listed(stages)}")
        self.stages = tuple(stages)
        self.ends = tuple(accumulate(stage.iterations for stage in stages))
        self.batches = tuple(batch if stage.images is None else stage.images for stage in stages)
        self.steps = [0] * len(stages)
        self.seconds = [0.0] * len(stages)
        self.peaks = [0] * len(stages)
        self.others = self.watched = 0.0

    def stage(self, t: int) -> int:
        """Number of the stage that iteration t = 0, 1, ... belongs to; the last one's beyond the end."""
        return next((k for k, end in enumerate(self.ends) if t < end), len(self.ends) - 1)

    def place(self, t: int) -> Place:
        """Where iteration t = 0, 1, ... stands; in the last stage beyond the end."""
        k = self.stage(t)
        return Place(k, self.ends[k] - self.stages[k].iterations, self.ends[k], self.batches[k])

    def entered(self, t: int) -> range:
        """Numbers of the stages after the first that iteration t enters: one where a stage begins, else none.

        More than one where a stage between them has no iterations; a method's later stage may build on each.
        """
        if t != self.place(t).start:
            return range(0)
        before = self.stage(t - 1) if t > 0 else 0
        return range(before + 1, self.stage(t) + 1)

    def add(self, done: int, seconds: float, peak: int, others: float | None = None) -> None:
        """Book seconds, the peak in bytes, and others' core-seconds to the stage of the last of `done` iterations."""
        k = self.stage(max(done - 1, 0))
        self.seconds[k] += seconds
        self.peaks[k] = max(self.peaks[k], peak)
        if others is not None:
            self.others += others
            self.watched += seconds

    def inherit(self, k: int, cost: StageCost) -> None:
        """Book to stage k, which has no iterations here, what it took elsewhere; again, it changes nothing."""
        self.seconds[k], self.peaks[k] = cost.seconds, cost.peak_memory_bytes

    @property
    def busy_cores(self) -> float | None:
        """Cores that other programs kept busy, on average over the time of training; None where nothing tells."""
        return max(0.0, self.others) / self.watched if self.watched > 0 else None

    @property
    def gradient_evaluations(self) -> int:
        """Batches of dE/dx that all steps took."""
        return sum(n * stage.gradient_evaluations for n, stage in zip(self.steps, self.stages, strict=True))

    def done(self, iteration: int) -> list[int]:
        """Iterations of each stage that stand when training stands at `iteration`."""
        starts = (end - stage.iterations for end, stage in zip(self.ends, self.stages, strict=True))
        return [min(max(iteration - start, 0), s.iterations) for start, s in zip(starts, self.stages, strict=True)]

    def images(self, iteration: int) -> int:
        """Training images of all iterations that stand at `iteration`."""
        return sum(n * batch for n, batch in zip(self.done(iteration), self.batches, strict=True))

    def costs(self, iteration: int) -> tuple[StageCost, ...]:
        """The cost of each stage of a training that stands at `iteration`."""
        names = (stage.name for stage in self.stages)
        return tuple(map(StageCost, names, self.done(iteration), self.seconds, self.peaks))

    def state_dict(self) -> dict[str, Any]:
        """Plain lists, for a checkpoint."""
        lists = {"steps": list(self.steps), "seconds": list(self.seconds), "peaks": list(self.peaks)}
        return lists | {"others": [self.others, self.watched]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """The inverse."""
        self.steps, self.seconds, self.peaks = (list(state[key]) for key in ("steps", "seconds", "peaks"))
        # checkpoints of before it was watched have none
        self.others, self.watched = state.get("others", (0.0, 0.0))


def _listed(stages: Sequence[Stage]) -> str:
    return ", ".join(f"{stage.name} {stage.iterations}" for stage in stages)
