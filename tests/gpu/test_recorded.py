"""Chains recorded as CUDA graphs are the plain ones, whatever happens between two of them."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from baselines.igebm import IGEBM
from baselines.plain import PlainEBM
from clel.methods.clel import CLEL
from tests.gpu.small import CHAIN, CHUNK, CPU, STEPS, build, on_gpu, seeded, with_graphs

NEAR = {"float32": 1e-3, "fast": 0.1}
"""Difference of two chains, as a share of how far the energy moved them."""


@pytest.fixture(autouse=True)
def _no_fallback() -> Iterator[None]:
    """A recording that fails warns."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        yield


def pair(kind: Any, engine: str, device: torch.device, compiled: bool = False) -> tuple[Any, Any]:
    """The same method with recorded steps, their gradients compiled on request, and with plain ones."""
    recorded = build(with_graphs(kind, CHUNK, compiled), engine, device).eval()
    return recorded, build(with_graphs(kind, 0), engine, device).eval()


def samples(method: Any, n: int = 16, steps: int = STEPS) -> Tensor:
    return method.sample(n, seeded(method.device), steps)


def apart(a: Tensor, b: Tensor) -> float:
    """Root mean square of the difference, over pixels."""
    return float((a - b).square().mean().sqrt())


def moved(method: Any, n: int = 16) -> float:
    """How far the energy takes chains from where noise alone does."""
    still = copy.deepcopy(method)
    still.config = replace(still.config, langevin=replace(CHAIN, step_size=1e-9))
    return apart(samples(method, n), samples(still, n))


def same(recorded: Any, plain: Any, n: int = 16) -> Tensor:
    """Assert that both have the same samples; returns them."""
    a, b = samples(recorded, n), samples(plain, n)
    assert apart(a, b) < NEAR[recorded.config.engine] * moved(plain, n)
    assert a.device.type == "cpu" or recorded._recordings.known
    return a


def other_weights(*methods: Any) -> None:
    """Let the weights of each go on by one step, the same for all, in place."""
    with torch.no_grad():
        for method in methods:
            for p in method.network.parameters():
                p.mul_(1.2)


CASES = [(kind, engine, False) for kind in (PlainEBM, CLEL, IGEBM) for engine in NEAR]
CASES += [(kind, "fast", True) for kind in (PlainEBM, CLEL)]


@on_gpu
@pytest.mark.parametrize(("kind", "engine", "compiled"), CASES)
def test_recorded_chains_are_the_plain_ones(kind: Any, engine: str, compiled: bool, device: torch.device) -> None:
    """At first, replayed, with other weights in the same place, in another shape, and back in the first."""
    recorded, plain = pair(kind, engine, device, compiled)
    first = same(recorded, plain)
    assert apart(samples(recorded), first) < NEAR[engine] * moved(plain)
    other_weights(recorded, plain)
    second = same(recorded, plain)
    assert apart(second, first) > NEAR[engine] * moved(plain)
    same(recorded, plain, n=5)
    same(recorded, plain)


@on_gpu
@pytest.mark.parametrize("kind", [PlainEBM, IGEBM])
def test_a_copy_has_recordings_of_its_own(kind: Any, device: torch.device) -> None:
    """Of its own weights; and the original keeps its own."""
    recorded, plain = pair(kind, "fast", device)
    before = same(recorded, plain)
    twins = copy.deepcopy(recorded), copy.deepcopy(plain)
    other_weights(*twins)
    assert apart(same(*twins), before) > NEAR["fast"] * moved(plain)
    assert apart(same(recorded, plain), before) < NEAR["fast"] * moved(plain)


@on_gpu
def test_a_method_that_moved_records_anew(device: torch.device) -> None:
    """To the CPU, where nothing is recorded, and back with other weights."""
    recorded, plain = pair(PlainEBM, "fast", device)
    before = same(recorded, plain)
    for method in (recorded, plain):
        method.to(CPU)
        assert samples(method).device == CPU and not method._recordings.known
    other_weights(recorded, plain)
    for method in (recorded, plain):
        method.to(device)
    assert apart(same(recorded, plain), before) > NEAR["fast"] * moved(plain)
