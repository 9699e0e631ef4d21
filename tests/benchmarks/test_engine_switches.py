"""What each switch of clel/engine.py brings: CLEL's small network at 3x32x32 with 64 chains, off against on.

Off and on alternate in one process, and the rounds of a benchmark are those of on; extra_info has the shortest of each
and their ratios, in seconds on the wall and in seconds of processor, which other people's load disturbs less. `make
bench` prints them as a table. Nothing is asserted in seconds.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from baselines.plain import PlainEBM
from clel.average import Average
from clel.clel import CLEL
from clel.engine import Engine, Switches, switches
from tests.benchmarks.switched import CPU, Bench, alternate, build, chain, iteration, losses

HALF = torch.bfloat16

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
    "recomputed": (Switches(training_dtype=HALF), Switches(training_dtype=HALF, recomputed=True)),
    "all": (Switches(frozen=False), switches("fast", CPU)),
}


def pieces(full: bool) -> tuple[Switches, Switches]:
    """Training in pieces off and on; small ones where the network is tiny, so that there are several."""
    off = Switches(channels_last=True, training_dtype=HALF)
    return off, replace(off, training_piece=2 << 20 if full else 4 << 10)


@pytest.mark.parametrize("switch", CHAINS)
def test_chain(bench: Bench, switch: str) -> None:
    """Two Langevin steps of 64 chains, the refresh of the view included."""
    pairs = zip(("off", "on"), CHAINS[switch], strict=True)
    alternate(bench, {name: chain(build(bench.full, chosen)) for name, chosen in pairs}, 7)


@pytest.mark.parametrize("switch", TRAINING)
def test_training(bench: Bench, switch: str) -> None:
    """The training passes of network and encoder, forward and backward; no Langevin steps."""
    training(bench, TRAINING[switch], CLEL)


@pytest.mark.parametrize("kind", [CLEL, PlainEBM], ids=["clel", "plain"])
def test_training_in_pieces(bench: Bench, kind: Any) -> None:
    """The same with the energy network's pass a few images at a time; the plain EBM's has no encoder beside it."""
    training(bench, pieces(bench.full), kind)


def training(bench: Bench, chosen: tuple[Switches, Switches], kind: Any) -> None:
    """Off against on."""
    methods = {name: build(bench.full, s, kind, 0) for name, s in zip(("off", "on"), chosen, strict=True)}
    alternate(bench, {name: lambda m=m: losses(m) for name, m in methods.items()}, 3)  # type: ignore[misc]


def test_fused_optimisers(bench: Bench) -> None:
    """Adam on the energy network and SGD on the encoder."""
    calls = {}
    for name, fused in (("off", False), ("on", True)):
        method = build(bench.full, Switches(fused_optimisers=fused))
        for p in method.parameters():
            p.grad = torch.ones_like(p)
        optimisers = [o for o, _ in method.optimisers(10)]
        calls[name] = lambda chosen=optimisers: [o.step() for o in chosen]  # type: ignore[misc]
    alternate(bench, calls, 15)


def test_average(bench: Bench) -> None:
    """The average of weights, one call a tensor against one for all."""
    method = build(bench.full, Switches())
    average = Average(method, 10.0)
    live = [p.detach() for p in method.parameters()]
    calls = {
        "off": lambda: [a.lerp_(p, 0.5) for a, p in zip(average.shadow.values(), live, strict=True)],
        "on": lambda: average.update(method, 10, 100),
    }
    alternate(bench, calls, 15)


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
    engines: tuple[Engine, Engine] = ("exact", "fast")
    methods = {name: build(bench.full, switches(name, CPU), steps=60 if bench.full else 2) for name in engines}
    alternate(bench, {name: iteration(method) for name, method in methods.items()}, 3)
