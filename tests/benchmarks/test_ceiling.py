"""How near a Langevin step of the plain small network comes to the best convolution or product of this process."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from baselines.plain import PlainEBM
from clel.engine import switches
from tests.benchmarks.switched import CPU, Bench, alternate, build, images

CHANNELS = 64


def test_share_of_the_ceiling(bench: Bench) -> None:
    """Rates a core in the chains' number format, bfloat16 where the processor multiplies it; 64 images each."""
    method = build(bench.full, switches("fast", CPU), PlainEBM, 1)
    energy, x = method.frozen_energy(), images(method)
    n, side = (4096, 32) if bench.full else (64, 8)
    kind = energy.switches.chain_dtype
    a = torch.randn(n, n).to(kind)
    image = torch.randn(64, CHANNELS, side, side).to(kind, memory_format=torch.channels_last)
    weight = torch.randn(CHANNELS, CHANNELS, 3, 3).to(kind)
    calls: dict[str, Callable[[], object]] = {
        "product": lambda: a @ a,
        "convolution": lambda: F.conv2d(image, weight, padding=1),
        "step": lambda: energy.gradient(x),
    }
    with torch.no_grad():
        alternate(bench, calls, 7)
    work = {
        "product": 2 * n**3,
        "convolution": 2 * CHANNELS * CHANNELS * 9 * side**2 * 64,
        "step": 2 * flops(method, x),  # the gradient costs what the forward pass does
    }
    info = bench.benchmark.extra_info
    del info["alternated"]  # they are no two ways to the same
    rates = {name: flop / max(info[f"{name}_cpu_ms"], 1e-3) / 1e6 for name, flop in work.items()}
    info.update({f"{name}_gflops_a_core": round(rate, 1) for name, rate in rates.items()})
    info["share"] = round(rates["step"] / rates["convolution"], 3)
    info["share_of_product"] = round(rates["step"] / rates["product"], 3)
    number = str(kind).removeprefix("torch.")
    info["share_of"] = f"a {number} convolution of {CHANNELS} channels, {rates['convolution']:.0f} GFLOP/s a core"


def flops(method: Any, x: Tensor) -> int:
    """Of one forward pass of the network as the paper has it: what folding saves counts as done."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        method.network(x)
    return counter.get_total_flops()
