"""What the benchmarks of the engine share: CLEL's small network at 3x32x32 with 64 chains, and two calls timed in turn.

With --rounds=1, as in make bench ROUNDS=1, all is tiny and run once: the quick network on four images of 1x8x8.
With --device=cuda all of it lies there, and each call ends by waiting for it.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from clel.chains.switches import Switches
from clel.data import ImageSpec
from clel.machine.costs import now
from clel.methods.clel import CLEL
from clel.networks.encoder import EncoderConfig
from clel.training.average import Average
from experiments.speed.profiles import COLOUR32, DIGITS, LEAST

CPU = torch.device("cpu")
STEPS = 2
"""Langevin steps of a chain on the CPU."""
WHOLE, RECORDED = 60, 10
"""Those of an iteration, which chains have on a GPU, where what a recording brings hangs on it; of one recording."""


def threads() -> int:
    """Two, the size of machine that the targets are stated for; CLEL_BENCH_THREADS changes it."""
    return int(os.environ.get("CLEL_BENCH_THREADS", "2"))


@dataclass(frozen=True)
class Bench:
    """The fixture of pytest-benchmark, the measured rounds at most (with 1 all is tiny and only has to run), where."""

    benchmark: Any
    rounds: int
    device: torch.device = CPU

    @property
    def full(self) -> bool:
        """Whether the sizes are those to measure."""
        return self.rounds > 1

    @property
    def spec(self) -> ImageSpec:
        """Of the images: 3x32x32, or 1x8x8."""
        return COLOUR32 if self.full else DIGITS

    @property
    def steps(self) -> int:
        """Langevin steps of a chain."""
        if self.device.type == "cpu":
            return STEPS
        return WHOLE if self.full else RECORDED

    def build(self, chosen: Switches, kind: Any = CLEL, steps: int | None = None) -> Any:
        """The method with these switches, in this size and place."""
        return build(self.full, chosen, kind, self.steps if steps is None else steps).to(self.device)


def build(full: bool, chosen: Switches, kind: Any = CLEL, steps: int = STEPS) -> Any:
    """The method's small network with these switches; the quick one, tiny, where it only has to run."""
    config = kind.recipe("small" if full else "quick").config
    if not full:
        config = replace(config, batch_size=4, buffer=replace(config.buffer, size=8))
        if kind is CLEL:
            config = replace(config, contrastive_batch_size=4, encoder=EncoderConfig("tiny", 4, 8, 64))
    config = replace(config, langevin=replace(config.langevin, steps=steps))
    method = type("Switched", (kind,), {"switches": chosen}).build(config, COLOUR32 if full else DIGITS, 0)  # type: ignore[attr-defined]
    method.widest = config.network.widths[0] * method.spec.size**2  # also of a method that keeps its batch whole
    return method.train()


def digits(kind: Any, engine: str, full: bool) -> Any:
    """The method's quick preset with this engine: networks of which each operation is short."""
    config = kind.recipe("quick").config
    steps = config.langevin.steps if full else STEPS
    config = replace(config, engine=engine, langevin=replace(config.langevin, steps=steps))
    return kind.build(config, DIGITS, 0).train()


def images(method: Any) -> Tensor:
    """Random ones, as many as an iteration has."""
    return torch.rand(method.images_per_step, *method.spec.shape, generator=seeded(method, 0), device=method.device)


def seeded(method: Any, seed: int = 1) -> torch.Generator:
    """Where the method lies."""
    return torch.Generator(method.device).manual_seed(seed)


def chain(method: Any) -> Callable[[], Tensor]:
    """The method's Langevin steps from random images, the refresh of the view included."""
    x = images(method)
    return lambda: method.continue_chains(x, seeded(method))


def losses(method: Any) -> None:
    """The training passes of one iteration, forward and backward."""
    method.zero_grad()
    method.training_step(images(method), seeded(method))["loss"].backward()


def iteration(method: Any) -> Callable[[], None]:
    """One whole training iteration of `method`, as the trainer's step."""
    optimisers, average = method.optimisers(100), Average(method, 1.0)
    x, generator = images(method), seeded(method)

    def run() -> None:
        for optimiser, _ in optimisers:
            optimiser.zero_grad(set_to_none=True)
        method.training_step(x, generator)["loss"].backward()
        for optimiser, _ in optimisers:
            optimiser.step()
        average.update(method, 64, 128)

    return run


def alternate(
    bench: Bench,
    calls: Mapping[str, Callable[[], object]],
    rounds: int = 5,
    processor: Mapping[str, Callable[[], float]] | None = None,
) -> None:
    """Time the calls in turn: the rounds of the benchmark are the last one's, each after one round of all the others.

    Writes into extra_info the shortest round of each in milliseconds on the wall, on the CPU also of processor, and
    first over last.

    Args:
        calls: what is off, ..., what is on.
        rounds: measured rounds, after one that is not; fewer where `bench` has fewer.
        processor: seconds of processor used so far, of calls that are not this process's own work.
    """
    used_by = dict.fromkeys(calls, time.process_time) | dict(processor or {})
    wall: dict[str, list[float]] = {name: [] for name in calls}
    cpu: dict[str, list[float]] = {name: [] for name in calls}

    def once(name: str) -> None:
        began, used = now(bench.device), used_by[name]()
        calls[name]()
        wall[name].append(now(bench.device) - began)
        cpu[name].append(used_by[name]() - used)

    *others, last = calls

    def others_once() -> None:
        for name in others:
            once(name)

    warmup = 1 if bench.full else 0
    rounds = max(LEAST, min(rounds, bench.rounds)) if bench.full else 1
    bench.benchmark.pedantic(lambda: once(last), setup=others_once, rounds=rounds, warmup_rounds=warmup)
    best = {name: (min(wall[name][warmup:]), min(cpu[name][warmup:])) for name in calls}
    first = others[0]
    info: dict[str, Any] = {"alternated": [first, last]}
    info |= {f"{name}_ms": round(1e3 * w, 3) for name, (w, _) in best.items()}
    info["ratio"] = round(best[first][0] / best[last][0], 3)
    if bench.device.type == "cpu":  # elsewhere the processor asks for work and waits, which says nothing
        info |= {f"{name}_cpu_ms": round(1e3 * c, 3) for name, (_, c) in best.items()}
        info["cpu_ratio"] = round(best[first][1] / max(best[last][1], 1e-9), 3)
    info |= {"threads": torch.get_num_threads(), "load": round(os.getloadavg()[0], 1)}
    bench.benchmark.extra_info.update(info)
