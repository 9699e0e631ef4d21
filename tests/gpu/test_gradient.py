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
from clel.engine import Switches
from clel.networks import NETWORKS
from tests.gpu.small import CPU, build, on_gpu, smooth

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
"""Relative error and cosine in bfloat16. That of an untrained IGEBM is large on any device: 7 % on a CPU."""


def gradients(kind: Any, chosen: Switches, device: torch.device) -> tuple[Tensor, Tensor]:
    """dE/dx [N, D] of the same weights and images: as the switches have it on the device, and in float64."""
    size = {} if kind is IGEBM else {"network": replace(NETWORKS["small"], towers=2)}
    oracle = build(kind, "exact", CPU, **size).double().eval()
    method = build(type("Switched", (kind,), {"switches": chosen}), "fast", device, **size).eval()
    expected = oracle.frozen_energy().gradient(smooth().double())
    return method.frozen_energy().gradient(smooth().to(device)).cpu().double().flatten(1), expected.flatten(1)


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
