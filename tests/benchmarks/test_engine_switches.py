"""What each switch of clel/engine.py brings: CLEL's small network at 3x32x32 with 64 chains, off against on.

Off and on alternate in one process; extra_info has the shortest of each and their ratios, in seconds on the wall and in
seconds of processor, which other people's load disturbs less. Nothing is asserted in seconds. With --rounds=1, as in
make bench ROUNDS=1, all is tiny and run once: CLEL's quick network on four images of 1x8x8, two Langevin steps.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from baselines.plain import PlainEBM
from clel.average import Average
from clel.clel import CLEL
from clel.data import ImageSpec
from clel.engine import Engine, Switches, switches
from clel.networks import EncoderConfig
from experiments.speed.profiles import LEAST

CPU = torch.device("cpu")
LARGE, TINY = ImageSpec(3, 32, (0.5,) * 3, (0.25,) * 3), ImageSpec(1, 8, (0.3,), (0.35,))
HALF = torch.bfloat16
STEPS = 2

CHAINS = {
    "frozen": (Switches(frozen=False), Switches()),
    "channels_last": (Switches(), Switches(channels_last=True)),
    "channels_last_bfloat16": (Switches(chain_dtype=HALF), Switches(chain_dtype=HALF, channels_last=True)),
    "chain_dtype": (Switches(channels_last=True), Switches(channels_last=True, chain_dtype=HALF)),
    "by_hand_float32": (Switches(channels_last=True), Switches(channels_last=True, by_hand=True)),
    "by_hand": (
        Switches(channels_last=True, chain_dtype=HALF),
        Switches(channels_last=True, chain_dtype=HALF, by_hand=True),
    ),
    "in_pieces": (Switches(chain_dtype=HALF, by_hand=True), Switches(chain_dtype=HALF, by_hand=True, in_pieces=True)),
    "all": (Switches(frozen=False), switches("fast", CPU)),
}
TRAINING = {
    "channels_last": (Switches(), Switches(channels_last=True)),
    "training_dtype": (Switches(channels_last=True), Switches(channels_last=True, training_dtype=HALF)),
    "shared_views": (Switches(training_dtype=HALF), Switches(training_dtype=HALF, shared_views=True)),
    "training_piece": (Switches(training_dtype=HALF), Switches(training_dtype=HALF, training_piece=2 << 20)),
    "recomputed": (Switches(training_dtype=HALF), Switches(training_dtype=HALF, recomputed=True)),
    "all": (Switches(frozen=False), switches("fast", CPU)),
}


@pytest.fixture(autouse=True)
def _threads() -> Iterator[None]:
    """Two threads, the size of machine that the targets are stated for; CLEL_BENCH_THREADS changes it."""
    before = torch.get_num_threads()
    torch.set_num_threads(int(os.environ.get("CLEL_BENCH_THREADS", "2")))
    yield
    torch.set_num_threads(before)


@dataclass(frozen=True)
class Bench:
    """The fixture of pytest-benchmark, and whether the sizes are those to measure, or tiny."""

    benchmark: Any
    full: bool


@pytest.fixture
def bench(benchmark: Any, request: pytest.FixtureRequest) -> Bench:
    return Bench(benchmark, request.config.getoption("rounds", default=None) != 1)


def build(bench: Bench, chosen: Switches, kind: Any = CLEL, steps: int = STEPS) -> Any:
    """CLEL's small network with these switches; the quick one, tiny, where it only has to run."""
    large = bench.full
    config = kind.recipe("small" if large else "quick").config
    if not large:
        config = replace(config, batch_size=4, buffer=replace(config.buffer, size=8))
        if kind is CLEL:
            config = replace(config, contrastive_batch_size=4, encoder=EncoderConfig("tiny", 4, 8, 64))
    config = replace(config, langevin=replace(config.langevin, steps=steps))
    method = type("Switched", (kind,), {"switches": chosen}).build(config, LARGE if large else TINY, 0)  # type: ignore[attr-defined]
    return method.train()


def images(method: Any) -> Tensor:
    return torch.rand(method.images_per_step, *method.spec.shape, generator=torch.Generator().manual_seed(0))


def alternate(bench: Bench, calls: dict[str, Callable[[], object]], rounds: int = 4) -> None:
    """Time the calls in turn and write the shortest of each, in milliseconds, and first over last."""
    wall, cpu = {name: float("inf") for name in calls}, {name: float("inf") for name in calls}
    for number in range(1 + rounds if bench.full else 1):
        for name, call in calls.items():
            began, used = time.perf_counter(), time.process_time()
            call()
            if number > 0 or not bench.full:
                wall[name] = min(wall[name], time.perf_counter() - began)
                cpu[name] = min(cpu[name], time.process_time() - used)
    first, last = next(iter(calls)), list(calls)[-1]
    info = {f"{name}_ms": round(1e3 * value, 2) for name, value in wall.items()}
    info |= {f"{name}_cpu_ms": round(1e3 * value, 2) for name, value in cpu.items()}
    info |= {"ratio": round(wall[first] / wall[last], 3), "cpu_ratio": round(cpu[first] / cpu[last], 3)}
    info |= {"threads": torch.get_num_threads(), "load": round(os.getloadavg()[0], 1)}
    bench.benchmark.extra_info.update(info)
    # rounds of its own, for comparisons with a baseline
    bench.benchmark.pedantic(calls[last], rounds=LEAST if bench.full else 1)


@pytest.mark.parametrize("switch", CHAINS)
def test_chain(bench: Bench, switch: str) -> None:
    """Two Langevin steps of 64 chains, the refresh of the view included."""
    methods = {name: build(bench, s) for name, s in zip(("off", "on"), CHAINS[switch], strict=True)}
    x = images(methods["on"])
    calls = {
        name: lambda m=m: m.continue_chains(x, torch.Generator().manual_seed(1))  # type: ignore[misc]
        for name, m in methods.items()
    }
    alternate(bench, calls)
    assert calls["on"]().shape == x.shape  # type: ignore[attr-defined]


@pytest.mark.parametrize("switch", TRAINING)
def test_training(bench: Bench, switch: str) -> None:
    """The training passes of network and encoder, forward and backward; no Langevin steps."""
    methods = {name: build(bench, s, steps=0) for name, s in zip(("off", "on"), TRAINING[switch], strict=True)}
    alternate(bench, {name: lambda m=m: losses(m) for name, m in methods.items()}, 2)  # type: ignore[misc]


def losses(method: Any) -> None:
    method.zero_grad()
    method.training_step(images(method), torch.Generator().manual_seed(1))["loss"].backward()


def test_fused_optimisers(bench: Bench) -> None:
    """Adam on the energy network and SGD on the encoder."""
    calls = {}
    for name, fused in (("off", False), ("on", True)):
        method = build(bench, Switches(fused_optimisers=fused))
        for p in method.parameters():
            p.grad = torch.ones_like(p)
        optimisers = [o for o, _ in method.optimisers(10)]
        calls[name] = lambda chosen=optimisers: [o.step() for o in chosen]  # type: ignore[misc]
    alternate(bench, calls)


def test_average(bench: Bench) -> None:
    """The average of weights, one call a tensor against one for all."""
    method = build(bench, Switches())
    average = Average(method, 10.0)
    live = [p.detach() for p in method.parameters()]
    calls = {
        "off": lambda: [a.lerp_(p, 0.5) for a, p in zip(average.shadow.values(), live, strict=True)],
        "on": lambda: average.update(method, 10, 100),
    }
    alternate(bench, calls)


def test_noise_layout(bench: Bench) -> None:
    """Noise of a step drawn channels-last and in rows; why chains stay in rows."""
    rows = torch.empty(64, *(LARGE if bench.full else TINY).shape)
    pixels, generator = rows.to(memory_format=torch.channels_last), torch.Generator().manual_seed(0)
    calls = {
        "channels_last": lambda: pixels.normal_(generator=generator),
        "rows": lambda: rows.normal_(generator=generator),
    }
    alternate(bench, calls)


def test_share_of_the_ceiling(bench: Bench) -> None:
    """A Langevin step of the plain EBM in GFLOP/s, beside the best of a large product and a convolution in bfloat16."""
    method = build(bench, switches("fast", CPU), PlainEBM, 1)
    energy, x = method.frozen_energy(), images(method)
    n, side = (4096, 32) if bench.full else (64, 8)
    a, image, weight = torch.randn(n, n), torch.randn(64, 64, side, side), torch.randn(64, 64, 3, 3)
    kind = energy.switches.chain_dtype
    a, image = a.to(kind), image.to(kind, memory_format=torch.channels_last)
    weight = weight.to(kind)
    calls: dict[str, Callable[[], object]] = {
        "product": lambda: a @ a,
        "convolution": lambda: F.conv2d(image, weight, padding=1),
        "step": lambda: energy.gradient(x),
    }
    with torch.no_grad():
        alternate(bench, calls)
    work = {
        "product": 2 * n**3,
        "convolution": 2 * 64 * 64 * 9 * side**2 * 64,
        "step": 2 * flops(method, x),  # the gradient costs what the forward pass does
    }
    info = bench.benchmark.extra_info
    rates = {name: work[name] / info[f"{name}_cpu_ms"] / 1e6 for name in work if info[f"{name}_cpu_ms"] > 0}
    info.update({f"{name}_gflops_a_core": round(rate) for name, rate in rates.items()})
    info["share"] = round(rates.get("step", 0) / max(rates.values(), default=1), 3)


def flops(method: Any, x: Tensor) -> int:
    """Of one forward pass of the network as the paper has it: what folding saves counts as done."""
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter, torch.no_grad():
        method.network(x)
    return counter.get_total_flops()


@pytest.mark.parametrize("engine", ["float32", "fast"])
def test_iteration(bench: Bench, engine: Engine) -> None:
    """The whole of CLEL's iteration, 60 steps, optimisers and average included, against the exact engine's."""
    calls = {}
    for name, kind in (("exact", "exact"), (engine, engine)):
        method = build(bench, switches(kind, CPU), steps=60 if bench.full else 2)  # type: ignore[arg-type]
        calls[name] = iteration(method)
    alternate(bench, calls, 1)


def iteration(method: Any) -> Callable[[], None]:
    """One whole training iteration of `method`, as the trainer's step."""
    optimisers, average = method.optimisers(100), Average(method, 1.0)
    x, generator = images(method), torch.Generator().manual_seed(1)

    def run() -> None:
        for optimiser, _ in optimisers:
            optimiser.zero_grad(set_to_none=True)
        method.training_step(x, generator)["loss"].backward()
        for optimiser, _ in optimisers:
            optimiser.step()
        average.update(method, 64, 128)

    return run
