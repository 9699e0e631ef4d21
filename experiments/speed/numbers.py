"""The numbers of one measurement, and of a row from those of its stages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from clel.methods.stages import Stage

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
        short, longest: of an iteration with chains of one step, and of the longest that was measured, with n =
            `taken` steps.
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
    short: Spread
    longest: Spread
    taken: int
    step: float | None
    sampling_step: float | None
    sampling: float | None
    peak: int
    parameters: int
    flop: int | None
    flop_step: int | None
    finite: bool

    def with_steps(self, steps: int) -> Spread | None:
        """Seconds of an iteration with chains of K = `steps` steps, t(1) + (K - 1) (t(n) - t(1)) / (n - 1).

        As it was measured for K = n. What n - 1 steps more were measured with is (K - 1) / (n - 1) times as uncertain.
        None where the stage has no chains, or of one step only, to tell from.
        """
        return _with_steps(self.short, self.longest, self.taken, steps)


def _with_steps(short: Spread, longest: Spread, taken: int, steps: int) -> Spread | None:
    if steps == taken:
        return longest
    if taken < 2 or steps < 1:
        return None
    factor = (steps - 1) / (taken - 1)
    middle = short.median + factor * (longest.median - short.median)
    wide = max(1.0, factor)
    return Spread(
        middle, middle - wide * (longest.median - longest.low), middle + wide * (longest.high - longest.median)
    )


def stage_numbers(measurement: Mapping[str, Any]) -> StageNumbers:
    """The numbers of a measurement whose status is ok."""
    found, rounds = measurement["found"], measurement["rounds"]
    total, taken = found["steps"], found["measured_steps"]
    short, longest = Spread.of(rounds["short"]), Spread.of(rounds["iteration"])
    step = (longest.median - short.median) / (taken - 1) if taken > 1 else None
    composed = step is not None and taken < total
    iteration = _with_steps(short, longest, taken, total) or longest
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
        short=short,
        longest=longest,
        taken=taken,
        step=step,
        sampling_step=sampling_step,
        sampling=start.median if start is not None and not total else None,
        peak=found["peak_memory_bytes"],
        parameters=found["parameters"],
        flop=found["flop_short"] + max(total - 1, 0) * found["flop_step"] if counted else None,
        flop_step=found["flop_step"] if counted and total else None,
        finite=found["loss"] is not None,
    )


def combined(stages: Sequence[StageNumbers]) -> dict[str, Any]:
    """The row's numbers: iterations as its schedule mixes them, the last stage's chains, the largest stage's memory.

    The chains' share is that of the whole training, sum_s n_s K_s step_s / sum_s n_s t_s over the stages s.
    """
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
        "chain_share": _chain_share(stages),
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


def _chain_share(stages: Sequence[StageNumbers]) -> float | None:
    chains = [stage for stage in stages if stage.steps]
    if not chains or any(stage.step is None for stage in chains):
        return None
    taken = sum(s.iterations * s.steps * s.step for s in chains if s.step is not None)
    return min(1.0, taken / sum(s.iterations * s.iteration.median for s in stages))


def schedule_hours(stages: Sequence[StageNumbers], schedule: Sequence[Stage]) -> Spread | None:
    """Hours of a schedule, which may have other Langevin steps K and batches B than the stages b that were measured.

    sum_s n_s t_s(K_s) B_s / b_s, with t(K) of `StageNumbers.with_steps`; time is taken to be proportional to the batch.
    None where a stage of the schedule was not measured, or only without the chains that the schedule has in it.
    """
    measured = {stage.name: stage for stage in stages}
    total = Spread(0.0, 0.0, 0.0)
    for stage in schedule:
        found = measured.get(stage.name)
        time = found.with_steps(stage.gradient_evaluations) if found is not None else None
        if found is None or time is None:
            return None
        total = total + time * (stage.iterations * (stage.images or found.images) / found.images / HOUR)
    return total


def other_sizes(stages: Sequence[StageNumbers], schedule: Sequence[Stage]) -> dict[str, str]:
    """Where the schedule has other sizes than what was measured, "10 to 30", by "steps" and "batch"; "" for nowhere."""
    planned = {stage.name: stage for stage in schedule}
    pairs = [(stage, planned[stage.name]) for stage in stages if stage.name in planned]
    found = {
        "steps": [(s.name, s.steps, p.gradient_evaluations) for s, p in pairs],
        "batch": [(s.name, s.images, p.images or s.images) for s, p in pairs],
    }
    several = len(stages) > 1
    return {
        what: ", ".join(f"{a:,} to {b:,}" + (f" ({name})" if several else "") for name, a, b in sizes if a != b)
        for what, sizes in found.items()
    }


def ceiling(measurement: Mapping[str, Any] | None) -> dict[str, tuple[float, str]]:
    """The best median of a number format in GFLOP/s, and the product that reached it; empty where none was measured."""
    best: dict[str, tuple[float, str]] = {}
    for name, rounds in (measurement or {"rounds": {}})["rounds"].items():
        about = (measurement or {})["extra"][name]
        rate = about["flop"] * 1e-9 / Spread.of(rounds).median
        if rate > best.get(about["dtype"], (0.0, ""))[0]:
            best[about["dtype"]] = rate, name
    return best
