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
from clel.clel import CLEL
from tests.gpu.small import CHAIN, CHUNK, CPU, STEPS, build, on_gpu, seeded, with_graphs

NEAR = {"float32": 1e-3, "fast": 0.1}
"""Difference of two chains, as a share of how far the energy moved them."""


@pytest.fixture(autouse=True)
def _no_fallback() -> Iterator[None]:
    """A recording that fails warns."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def pair(kind: Any, engine: str, device: torch.device) -> tuple[Any, Any]:
    """The same method with recorded steps and with plain ones."""
    recorded, plain = (build(with_graphs(kind, chunk), engine, device).eval() for chunk in (CHUNK, 0))
    return recorded, plain


def samples(method: Any, n: int = 16, steps: int = STEPS) -> Tensor:
    return method.sample(n, seeded(method.device), steps)


def moved(method: Any, n: int) -> float:
    """Root mean square, over pixels, of what the energy does to a chain, its noise taken off."""
    still = copy.deepcopy(method)
    still.config = replace(still.config, langevin=replace(CHAIN, step_size=1e-9))
    return float((samples(method, n) - samples(still, n)).square().mean().sqrt())


def same(recorded: Any, plain: Any, n: int = 16) -> Tensor:
    """Assert that both have the same samples; returns them."""
    a, b = samples(recorded, n), samples(plain, n)
    assert float((a - b).square().mean().sqrt()) < NEAR[recorded.config.engine] * moved(plain, n)
    assert a.device.type == "cpu" or recorded._recordings.known
    return a


def other_weights(*methods: Any) -> None:
    """Let the weights of each go on by one step, the same for all, in place."""
    with torch.no_grad():
        for method in methods:
            for p in method.network.parameters():
                p.mul_(1.2)


@on_gpu
@pytest.mark.parametrize("kind", [PlainEBM, CLEL, IGEBM])
@pytest.mark.parametrize("engine", NEAR)
def test_recorded_chains_are_the_plain_ones(kind: Any, engine: str, device: torch.device) -> None:
    """At first, replayed, with other weights in the same place, in another shape, and back in the first."""
    recorded, plain = pair(kind, engine, device)
    first = same(recorded, plain)
    assert torch.equal(samples(recorded), first) or float((samples(recorded) - first).abs().max()) < 1e-2
    other_weights(recorded, plain)
    second = same(recorded, plain)
    assert float((second - first).square().mean().sqrt()) > NEAR[engine] * moved(plain, 16)
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
    assert float((same(*twins) - before).square().mean().sqrt()) > NEAR["fast"] * moved(plain, 16)
    torch.testing.assert_close(same(recorded, plain), before, rtol=0, atol=0.02)


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
    assert float((same(recorded, plain) - before).square().mean().sqrt()) > NEAR["fast"] * moved(plain, 16)
