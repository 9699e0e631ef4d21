"""How near a Langevin step of the plain small network comes to the best convolution or product of this process."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from baselines.plain import PlainEBM
from clel.chains.cuda_graph import Recordings, cuda_graph
from clel.chains.langevin import langevin
from clel.chains.switches import switches
from tests.benchmarks.switched import Bench, alternate, images, seeded

CHANNELS = 64


def test_share_of_the_ceiling(bench: Bench) -> None:
    """Rates in the chains' number format, bfloat16 where the engine `fast` has it; 64 images each.

    A core's on the CPU. On a GPU the steps are those of a recording, noise and update included.
    """
    method = bench.build(switches("fast", bench.device), PlainEBM, 1)
    energy, x = method.frozen_energy(), images(method)
    n, side = (4096, 32) if bench.full else (64, 8)
    kind, steps = energy.switches.chain_dtype, energy.switches.graph_steps
    in_a_row = 1 if bench.device.type == "cpu" else 100  # one alone would be as long as asking, and waiting, for it
    a = torch.randn(n, n, device=bench.device).to(kind)
    image = torch.randn(64, CHANNELS, side, side, device=bench.device).to(kind, memory_format=torch.channels_last)
    weight = torch.randn(CHANNELS, CHANNELS, 3, 3, device=bench.device).to(kind, memory_format=torch.channels_last)
    generator, chain = seeded(method), method.config.langevin
    calls: dict[str, Callable[[], object]] = {
        "product": lambda: a @ a,
        "convolution": lambda: F.conv2d(image, weight, padding=1),
        "step": lambda: energy.gradient(x),
    }
    with torch.no_grad():
        if steps:
            calls = {name: recorded(call, in_a_row) for name, call in calls.items()}
            block = Recordings().steps(energy, x, chain, steps)
            calls["step"] = lambda: langevin(energy, x, chain, generator, steps, block=block)
        alternate(bench, calls, 7)
    work = {
        "product": 2 * n**3 * in_a_row,
        "convolution": 2 * CHANNELS * CHANNELS * 9 * side**2 * 64 * in_a_row,
        "step": 2 * flops(method, x) * max(1, steps),  # the gradient costs what the forward pass does
    }
    info = bench.benchmark.extra_info
    del info["alternated"]  # they are no two ways to the same
    clock, unit = ("cpu_ms", "GFLOP/s a core") if bench.device.type == "cpu" else ("ms", "GFLOP/s")
    rates = {name: flop / max(info[f"{name}_{clock}"], 1e-3) / 1e6 for name, flop in work.items()}
    named = unit.lower().replace("/", "").replace(" ", "_")
    info.update({f"{name}_{named}": round(rate, 1) for name, rate in rates.items()})
    info["share"] = round(rates["step"] / rates["convolution"], 3)
    info["share_of_product"] = round(rates["step"] / rates["product"], 3)
    number = str(kind).removeprefix("torch.")
    info["share_of"] = f"a {number} convolution of {CHANNELS} channels, {rates['convolution']:.0f} {unit}"


def recorded(call: Callable[[], object], times: int) -> Callable[[], None]:
    """The call many times as one CUDA graph: asking for each would take as long as a small one does."""

    def work() -> None:
        for _ in range(times):
            call()

    return cuda_graph(work)


def flops(method: Any, x: Tensor) -> int:
    """Of one forward pass of the network as the paper has it: what folding saves counts as done."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        method.network(x)
    return counter.get_total_flops()
