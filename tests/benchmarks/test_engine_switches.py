"""What each switch of clel/chains/switches.py brings: CLEL's small network at 3x32x32 with 64 chains, off against on.

Off and on alternate in one process, and the rounds of a benchmark are those of on; extra_info has the shortest of each
and their ratios, in seconds on the wall and, on the CPU, of processor, which other people's load disturbs less. `make
bench` prints them as a table. Nothing is asserted in seconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
import torch

from baselines.plain import PlainEBM
from clel.chains.switches import Engine, Switches, switches
from clel.machine.costs import now
from clel.methods.clel import CLEL
from clel.training.average import Average
from tests.benchmarks.switched import RECORDED, WHOLE, Bench, alternate, chain, iteration, losses
from tests.benchmarks.worker import engines, in_turn

HALF = torch.bfloat16
pytestmark = pytest.mark.filterwarnings("error::clel.chains.switches.FallbackWarning")  # what is on has to be on

Pair = tuple[Switches | Engine, Switches | Engine]
"""Off and on. What an engine is depends on the device, and may be found out by timing, so that it is named here."""

CHAINS: dict[str, Pair] = {
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
    "graph_steps_autograd": (
        Switches(channels_last=True, chain_dtype=HALF),
        Switches(channels_last=True, chain_dtype=HALF, graph_steps=RECORDED),
    ),
    "graph_steps": (
        Switches(channels_last=True, chain_dtype=HALF, by_hand=True),
        Switches(channels_last=True, chain_dtype=HALF, by_hand=True, graph_steps=RECORDED),
    ),
    "compiled": (
        Switches(channels_last=True, chain_dtype=HALF, by_hand=True, graph_steps=RECORDED),
        Switches(channels_last=True, chain_dtype=HALF, by_hand=True, graph_steps=RECORDED, compiled=True),
    ),
    "all": ("exact", "fast"),
}
TRAINING: dict[str, Pair] = {
    "channels_last": (Switches(), Switches(channels_last=True)),
    "training_dtype": (Switches(channels_last=True), Switches(channels_last=True, training_dtype=HALF)),
    "shared_views": (Switches(training_dtype=HALF), Switches(training_dtype=HALF, shared_views=True)),
    "recomputed": (Switches(training_dtype=HALF), Switches(training_dtype=HALF, recomputed=True)),
    "all": ("exact", "fast"),
}
ON_GPUS = ("graph_steps_autograd", "graph_steps", "compiled")
MARKS = {"in_pieces": pytest.mark.cpu, **dict.fromkeys(ON_GPUS, pytest.mark.gpu)}


def names(pairs: Mapping[str, Pair]) -> list[Any]:
    """The names, those that concern one kind of device alone marked so."""
    return [pytest.param(name, marks=MARKS.get(name, ())) for name in pairs]


def built(bench: Bench, pair: Pair, kind: Any = CLEL, steps: int | None = None) -> dict[str, Any]:
    """The method with the switch off and on."""
    resolved = (switches(s, bench.device) if isinstance(s, str) else s for s in pair)
    return {name: bench.build(s, kind, steps) for name, s in zip(("off", "on"), resolved, strict=True)}


def pieces(full: bool) -> tuple[Switches, Switches]:
    """Training in pieces off and on; small ones where the network is tiny, so that there are several."""
    off = Switches(channels_last=True, training_dtype=HALF)
    return off, replace(off, training_piece=2 << 20 if full else 4 << 10)


@pytest.mark.parametrize("switch", names(CHAINS))
def test_chain(bench: Bench, switch: str) -> None:
    """Langevin steps of 64 chains, two on the CPU and 60 on a GPU, the refresh of the view included."""
    if switch == "all" and bench.device.type == "cpu":
        whole_engines(bench, "chain", 7)
        return
    alternate(bench, {name: chain(method) for name, method in built(bench, CHAINS[switch]).items()}, 7)


@pytest.mark.parametrize("switch", names(TRAINING))
def test_training(bench: Bench, switch: str) -> None:
    """The training passes of network and encoder, forward and backward; no Langevin steps."""
    if switch == "all" and bench.device.type == "cpu":
        whole_engines(bench, "training", 3)
        return
    training(bench, TRAINING[switch], CLEL)


@pytest.mark.cpu
@pytest.mark.parametrize("kind", [CLEL, PlainEBM], ids=["clel", "plain"])
def test_training_in_pieces(bench: Bench, kind: Any) -> None:
    """The same with the energy network's pass a few images at a time; the plain EBM's has no encoder beside it."""
    training(bench, pieces(bench.full), kind)


def training(bench: Bench, pair: Pair, kind: Any) -> None:
    """Off against on."""
    methods = built(bench, pair, kind, 0)
    alternate(bench, {name: lambda m=m: losses(m) for name, m in methods.items()}, 3)  # type: ignore[misc]


def test_fused_optimisers(bench: Bench) -> None:
    """Adam on the energy network and SGD on the encoder."""
    calls = {}
    for name, fused in (("off", False), ("on", True)):
        method = bench.build(Switches(fused_optimisers=fused))
        for p in method.parameters():
            p.grad = torch.ones_like(p)
        optimisers = [o for o, _ in method.optimisers(10)]
        calls[name] = lambda chosen=optimisers: [o.step() for o in chosen]  # type: ignore[misc]
    alternate(bench, calls, 15)


def test_average(bench: Bench) -> None:
    """The average of weights, one call a tensor against one for all."""
    method = bench.build(Switches())
    average = Average(method, 10.0)
    live = [p.detach() for p in method.parameters()]
    calls = {
        "off": lambda: [a.lerp_(p, 0.5) for a, p in zip(average.shadow.values(), live, strict=True)],
        "on": lambda: average.update(method, 10, 100),
    }
    alternate(bench, calls, 15)


@pytest.mark.cpu
def test_noise_layout(bench: Bench) -> None:
    """Noise of a step drawn channels-last and in rows; why chains stay in rows."""
    rows = torch.empty(64, *bench.spec.shape)
    pixels, generator = rows.to(memory_format=torch.channels_last), torch.Generator().manual_seed(0)
    calls = {
        "channels_last": lambda: pixels.normal_(generator=generator),
        "rows": lambda: rows.normal_(generator=generator),
    }
    alternate(bench, calls, 15)


def test_iteration(bench: Bench) -> None:
    """The whole of CLEL's iteration, 60 steps, optimisers and average included, by the exact engine and by `fast`.

    That of `float32` follows from `frozen` above: its training passes are the exact engine's.
    """
    if bench.device.type == "cpu":
        whole_engines(bench, "whole", 3)
    else:
        whole(bench, CLEL, 3)


def whole_engines(bench: Bench, work: str, rounds: int) -> None:
    """`exact` against `fast` on the CPU: two processes, since each engine has settings of the allocator of its own."""
    with in_turn(engines(work, bench.full)) as (calls, processor):
        alternate(bench, calls, rounds, processor)


@pytest.mark.gpu
def test_plain_iteration(bench: Bench) -> None:
    """The plain EBM's, likewise."""
    whole(bench, PlainEBM, 7)


def whole(bench: Bench, kind: Any, rounds: int) -> None:
    """Iterations by `exact` against `fast`."""
    methods = built(bench, ("exact", "fast"), kind, WHOLE if bench.full else None)
    calls = {name: iteration(methods[key]) for name, key in (("exact", "off"), ("fast", "on"))}
    alternate(bench, calls, rounds)


@pytest.mark.gpu
def test_in_a_row(bench: Bench) -> None:
    """Ten iterations of `fast`, waited for one by one, as in tables of speed, against in a row, as in training."""
    run = iteration(bench.build(switches("fast", bench.device)))

    def ten(wait: bool) -> None:
        for _ in range(10 if bench.full else 1):
            run()
            if wait:
                now(bench.device)

    alternate(bench, {"one by one": lambda: ten(True), "in a row": lambda: ten(False)}, 5)
