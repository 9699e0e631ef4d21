"""What a Langevin step towards a latent costs beside one of E(x) alone: dE/dx - d(u.t)/dx against dE/dx, in one run."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from clel import CLEL
from clel.chains.langevin import langevin_step
from clel.chains.switches import switches
from clel.sampling.conditional import GuidedEnergy
from tests.benchmarks.switched import Bench, alternate, images, seeded


def test_guided_step(bench: Bench) -> None:
    """One step of the small network's chains by the engine `fast`, guided over unguided; the aim is at most 1.3."""
    method = bench.build(switches("fast", bench.device), CLEL, 1)
    energy, x = method.frozen_energy(), images(method)
    d = method.config.network.features
    t = 0.02 * F.normalize(torch.randn(len(x), d, generator=seeded(method), device=bench.device), dim=1)
    guided, noise, config = GuidedEnergy(energy, t), torch.randn_like(x), method.config.langevin
    with torch.no_grad():
        alternate(
            bench,
            {
                "guided": lambda: langevin_step(guided, x, noise, config),
                "unguided": lambda: langevin_step(energy, x, noise, config),
            },
            15,
        )
