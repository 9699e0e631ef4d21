"""Memory on a GPU, by the allocator's count: what an iteration takes, and that a chain holds one step's activations."""

from __future__ import annotations

import gc
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from baselines.plain import PlainEBM
from clel.chains.langevin import langevin
from clel.machine.costs import now, peak_memory
from clel.methods.clel import CLEL
from clel.methods.method import Method
from clel.networks.encoder import EncoderConfig
from clel.networks.energy_network import NETWORKS
from tests.gpu.small import CHAIN, SPEC, build, on_gpu, seeded, with_graphs

LARGER = replace(SPEC, size=32)
"""Images beside whose activations a library's workspaces are small."""


def peak(device: torch.device, work: Callable[[], object]) -> int:
    """Bytes that `work` held at once, at most, beside those that were there before."""
    gc.collect()
    now(device)
    torch.cuda.reset_peak_memory_stats(device)
    before = torch.cuda.memory_allocated(device)
    work()
    now(device)
    return peak_memory(device)[0] - before


def iteration(method: Method, device: torch.device) -> None:
    """Chains, training passes and updates."""
    optimisers = method.optimisers(10)
    x = torch.rand(method.images_per_step, *method.spec.shape, generator=seeded(device), device=device)
    method.training_step(x, seeded(device))["loss"].backward()
    for optimiser, _ in optimisers:
        optimiser.step()


@on_gpu
def test_a_fast_iteration_takes_less_than_an_exact_one(device: torch.device) -> None:
    """CLEL's small networks on their first iteration, in which chains are recorded."""
    sizes = {"network": NETWORKS["small"], "encoder": EncoderConfig(), "batch_size": 64, "contrastive_batch_size": 64}
    peaks = {}
    for engine in ("exact", "fast"):
        method = build(CLEL, engine, device, LARGER, **sizes)
        peaks[engine] = peak(device, lambda chosen=method: iteration(chosen, device))
        del method
    assert 0 < peaks["fast"] < peaks["exact"]


@on_gpu
@pytest.mark.parametrize("engine", ["exact", "float32", "fast"])
def test_a_chain_holds_the_activations_of_one_step(engine: str, device: torch.device) -> None:
    """More plain steps take no more memory, once libraries have what they hold on to."""
    method = build(with_graphs(PlainEBM, 0), engine, device, LARGER, network=NETWORKS["small"])
    energy = method.frozen_energy()
    x = torch.rand(64, *method.spec.shape, generator=seeded(device), device=device)

    def chain(steps: int) -> None:
        langevin(energy, x, replace(CHAIN, steps=steps), seeded(device))

    chain(2)
    few, many = (peak(device, lambda k=steps: chain(k)) for steps in (2, 20))
    assert 0 < many <= 1.02 * few
