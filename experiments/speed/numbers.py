"""The numbers of one measurement, and of a row from those of its stages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

HOUR = 3600.0


@dataclass(frozen=True)
class Spread:
    """Median and quartiles, of seconds."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, rounds: Sequence[float]) -> Spread:
        """Of the rounds of a benchmark."""
        low, median, high = np.quantile(rounds, (0.25, 0.5, 0.75))
        return cls(float(median), float(low), float(high))

    def __mul__(self, factor: float) -> Spread:
        return Spread(self.median * factor, self.low * factor, self.high * factor)

    def __add__(self, other: Spread) -> Spread:
        """Of a sum; its quartiles as if the parts were slow together, which makes the range no smaller than it is."""
        return Spread(self.median + other.median, self.low + other.low, self.high + other.high)


@dataclass(frozen=True)
class StageNumbers:
    """What one stage of a method takes.

    Attributes:
        iteration: seconds.
        composed: whether it was put together from shorter ones: t(1) + (K - 1) (t(n) - t(1)) / (n - 1).
        step: seconds of one Langevin step in training, (t(n) - t(1)) / (n - 1); None without chains.
        sampling_step: seconds of one step of the sampler, on as many images.
        sampling: seconds of the whole sampler, where it has no steps.
        flop, flop_step: operations of the iteration, and of a Langevin step in it.
    """

    name: str
    iterations: int
    images: int
    steps: int
    iteration: Spread
    composed: bool
    step: float | None
    sampling_step: float | None
    sampling: float | None
    peak: int
    parameters: int
    flop: int | None
    flop_step: int | None
    finite: bool


def stage_numbers(measurement: Mapping[str, Any]) -> StageNumbers:
    """The numbers of a measurement whose status is ok."""
    found, rounds = measurement["found"], measurement["rounds"]
    total, taken = found["steps"], found["measured_steps"]
    short, iteration = Spread.of(rounds["short"]), Spread.of(rounds["iteration"])
    step = (iteration.median - short.median) / (taken - 1) if taken > 1 else None
    composed = step is not None and taken < total
    if step is not None and composed:
        factor = (total - 1) / (taken - 1)
        middle = short.median + (total - 1) * step
        iteration = Spread(
            middle,
            middle - factor * (iteration.median - iteration.low),
            middle + factor * (iteration.high - iteration.median),
        )
    start = Spread.of(rounds["sampling_start"]) if "sampling_start" in rounds else None
    sampling_step = None
    if start is not None and total and "sampling" in rounds:
        sampling_step = (Spread.of(rounds["sampling"]).median - start.median) / found["sampled_steps"]
    counted = "flop_short" in found
    return StageNumbers(
        name=found["stage"],
        iterations=found["stage_iterations"],
        images=found["images"],
        steps=total,
        iteration=iteration,
        composed=composed,
        step=step,
        sampling_step=sampling_step,
        sampling=start.median if start is not None and not total else None,
        peak=found["peak_memory_bytes"],
        parameters=found["parameters"],
        flop=found["flop_short"] + max(total - 1, 0) * found["flop_step"] if counted else None,
        flop_step=found["flop_step"] if counted and total else None,
        finite=found["loss"] is not None,
    )


def together(stages: Sequence[StageNumbers]) -> dict[str, Any]:
    """The row's numbers: iterations as its schedule mixes them, the last stage's chains, the largest stage's memory."""
    n = sum(stage.iterations for stage in stages)
    mean = stages[0].iteration * (stages[0].iterations / n)
    for stage in stages[1:]:
        mean = mean + stage.iteration * (stage.iterations / n)
    images = sum(stage.images * stage.iterations for stage in stages) / n
    last = stages[-1]
    flops = [stage.flop for stage in stages if stage.flop is not None]
    flop = sum(s.flop * s.iterations for s in stages if s.flop is not None) / n if len(flops) == len(stages) else None
    rate = 1e-9 / mean.median
    return {
        "iterations": n,
        "images": images,
        "langevin_steps": last.steps,
        "iteration_ms": 1e3 * mean.median,
        "iteration_ms_q1": 1e3 * mean.low,
        "iteration_ms_q3": 1e3 * mean.high,
        "composed": any(stage.composed for stage in stages),
        "image_ms": 1e3 * mean.median / images,
        "images_per_s": images / mean.median,
        "step_ms": None if last.step is None else 1e3 * last.step,
        "steps_per_s": 1 / last.step if last.step and last.step > 0 else None,
        "chain_share": None if last.step is None else min(1.0, last.steps * last.step / last.iteration.median),
        "sampling_step_ms": None if last.sampling_step is None else 1e3 * last.sampling_step,
        "sampling_ms": None if last.sampling is None else 1e3 * last.sampling,
        "peak_memory_bytes": max(stage.peak for stage in stages),
        "parameters": last.parameters,
        "gflop": None if flop is None else flop * 1e-9,
        "gflop_per_s": None if flop is None else flop * rate,
        "gflop_step": None if last.flop_step is None else last.flop_step * 1e-9,
        "step_gflop_per_s": last.flop_step * 1e-9 / last.step
        if last.flop_step and last.step and last.step > 0
        else None,
        "own_hours": n * mean.median / HOUR,
        "finite": all(stage.finite for stage in stages),
        "stages": "; ".join(
            f"{s.name}: {s.iterations:,} iterations of {1e3 * s.iteration.median:,.1f} ms, {s.images} images"
            for s in stages
            if len(stages) > 1
        ),
    }


def schedule_hours(stages: Sequence[StageNumbers], iterations: Mapping[str, int]) -> float | None:
    """Hours of so many iterations of each stage, by name; None where one of them was not measured."""
    measured = {stage.name: stage.iteration.median for stage in stages}
    if not set(iterations) <= set(measured):
        return None
    return sum(measured[name] * n for name, n in iterations.items()) / HOUR


def ceiling(measurement: Mapping[str, Any] | None) -> dict[str, tuple[float, str]]:
    """The best median of a number format in GFLOP/s, and the product that reached it; empty where none was measured."""
    best: dict[str, tuple[float, str]] = {}
    for name, rounds in (measurement or {"rounds": {}})["rounds"].items():
        about = (measurement or {})["extra"][name]
        rate = about["flop"] * 1e-9 / Spread.of(rounds).median
        if rate > best.get(about["dtype"], (0.0, ""))[0]:
            best[about["dtype"]] = rate, name
    return best
