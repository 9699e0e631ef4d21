"""The input gradient on a GPU against float64 on the CPU: by hand, compiled or not, and by autograd."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity

from baselines.igebm import IGEBM
from baselines.plain import PlainEBM
from clel.chains.switches import Switches
from clel.data import ImageSpec
from clel.networks.energy_network import NETWORKS
from tests.gpu.small import CPU, SPEC, build, on_gpu, smooth

FAST = Switches(by_hand=True, channels_last=True, chain_dtype=torch.bfloat16)
CHOSEN = {
    "exact": Switches(frozen=False),
    "autograd": Switches(channels_last=True),
    "by hand": replace(FAST, chain_dtype=torch.float32),
    "autograd, bfloat16": replace(FAST, by_hand=False),
    "by hand, bfloat16": FAST,
    "compiled": replace(FAST, chain_dtype=torch.float32, compiled=True),
    "compiled, bfloat16": replace(FAST, compiled=True),
}
BY_HAND = {name for name, chosen in CHOSEN.items() if chosen.by_hand}

CASES = [(PlainEBM, name) for name in CHOSEN] + [(IGEBM, name) for name in CHOSEN if name not in BY_HAND]
ROUNDED: dict[Any, tuple[float, float]] = {PlainEBM: (0.03, 0.999), IGEBM: (0.15, 0.98)}
"""Relative error and cosine in bfloat16. That of an untrained IGEBM is large on any device: 8 % on a CPU."""


GREY = ImageSpec(1, 16, (0.4,), (0.25,))


def methods(kind: Any, chosen: Switches, device: torch.device, spec: ImageSpec = SPEC) -> tuple[Any, Any]:
    """A method with the switches on the device, and one of the same weights in float64."""
    size = {} if kind is IGEBM else {"network": replace(NETWORKS["small"], towers=2)}
    method = build(type("Switched", (kind,), {"switches": chosen}), "fast", device, spec, **size)
    return method, build(kind, "exact", CPU, spec, **size).double()


def gradients(kind: Any, chosen: Switches, device: torch.device, spec: ImageSpec = SPEC) -> tuple[Tensor, Tensor]:
    """dE/dx [N, D] of the same weights and images: as the switches have it on the device, and in float64."""
    x = smooth()[:, : spec.channels]
    found, oracle = (m.eval().frozen_energy().gradient for m in methods(kind, chosen, device, spec))
    return found(x.to(device)).cpu().double().flatten(1), oracle(x.double()).flatten(1)


@on_gpu
@pytest.mark.filterwarnings("error::RuntimeWarning")  # what could not be compiled says so
@pytest.mark.parametrize(("kind", "name"), CASES)
def test_input_gradient(kind: Any, name: str, device: torch.device) -> None:
    """In float32 the median image within 1e-4, which TF32 is not: rounding takes an activation of a few across 0."""
    found, expected = gradients(kind, CHOSEN[name], device)
    relative = (found - expected).norm(dim=1) / expected.norm(dim=1)
    if CHOSEN[name].chain_dtype == torch.float32:
        assert float(relative.median()) < 1e-4 and float(relative.max()) < 1e-2
        return
    bound, cosine = ROUNDED[kind]
    assert float((found - expected).norm() / expected.norm()) < bound
    assert float(cosine_similarity(found, expected).min()) > cosine
    assert float(relative.max()) > 1e-3  # it did round


@on_gpu
def test_grey_images(device: torch.device) -> None:
    """One channel, split into three, is filled up like three split into nine."""
    found, expected = gradients(PlainEBM, FAST, device, GREY)
    assert float((found - expected).norm() / expected.norm()) < ROUNDED[PlainEBM][0]


def parameters(method: Any) -> Tensor:
    """All of the network's in one vector, in float64 on the CPU."""
    return torch.cat([p.detach().flatten() for p in method.network.parameters()]).cpu().double()


def updates(method: Any, x: Tensor, steps: int = 3) -> tuple[Tensor, Tensor]:
    """d mean(E(x) + E(x)^2) / d weights, first, and how far Adam took the weights in a few steps of it."""
    method.train()
    ((optimiser, _),) = method.optimisers(10)
    for group in optimiser.param_groups:
        group["lr"] = 1e-3  # the warm-up of the learning rate begins at 0
    before, first = parameters(method), None
    for _ in range(steps):
        optimiser.zero_grad()
        with method.training_pass(method.network):
            energies = method.energy_of(method.trained_network())(method.laid_out(x))
        (energies + energies.square()).mean().backward()
        if first is None:
            first = torch.cat([p.grad.flatten() for p in method.network.parameters() if p.grad is not None])
        optimiser.step()
    assert first is not None
    return first.cpu().double(), parameters(method) - before


TRAINED = {
    "exact": (Switches(frozen=False), 1e-3),
    "fused, channels-last": (Switches(channels_last=True, fused_optimisers=True), 1e-3),
    "bfloat16": (Switches(channels_last=True, fused_optimisers=True, training_dtype=torch.bfloat16), 0.1),
}


@pytest.mark.parametrize("name", TRAINED)
def test_weight_gradients_and_updates(name: str, device: torch.device) -> None:
    """Those of the training pass, through spectral norm, and what the optimiser makes of them."""
    chosen, near = TRAINED[name]
    method, oracle = methods(PlainEBM, chosen, device)
    (found, moved), (expected, wanted) = updates(method, smooth().to(device)), updates(oracle, smooth().double())
    assert float((found - expected).norm() / expected.norm()) < near
    # Adam's first steps are signs of gradients, of which those near 0 are rounding's own
    assert float(cosine_similarity(moved, wanted, dim=0)) > (0.99 if near < 0.01 else 0.8)
    assert 0.9 < float(moved.norm() / wanted.norm()) < 1.1
