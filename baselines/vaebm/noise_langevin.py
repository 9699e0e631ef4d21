"""Langevin dynamics in the space of a generator's noise (VAEBM; 2010.00654, section 3.2).

For x = g(eps) the density exp(-E(g(eps))) N(eps; 0, I) has the energy U(eps) = E(g(eps)) + 1/2 |eps|^2:
    eps <- eps - eta/2 dU/deps + sqrt(eta) n,   n ~ N(0, I)
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor

from clel.bounds import require_ranges
from clel.chains.energy import Energy
from clel.config import LENGTH


@dataclass(frozen=True)
class NoiseLangevinConfig:
    """One run of a chain in the space of noise."""

    steps: int = 10
    """Langevin steps in one training iteration. [VAEBM: 10; 16 at test]"""
    step_size: float = 8e-5
    """eta: the noise added has this variance. [VAEBM: 8e-5 on CIFAR-10]"""

    def __post_init__(self) -> None:
        require_ranges(self)


def noise_langevin(
    energy: Energy,
    eps: Tensor,
    config: NoiseLangevinConfig,
    generator: torch.Generator,
    steps: int | None = None,
) -> Tensor:
    """Run `steps` (config.steps by default) steps from eps [N, D]; `energy` is eps [N, D] -> E(g(eps)) [N]."""
    eps, eta = eps.detach().clone(), config.step_size
    noise = torch.empty_like(eps)
    for _ in range(config.steps if steps is None else steps):
        gradient = energy.gradient(eps).add_(eps)
        eps.add_(gradient, alpha=-eta / 2).add_(noise.normal_(generator=generator), alpha=math.sqrt(eta))
    return eps


@dataclass(frozen=True)
class NoiseBufferConfig:
    """Persistent chains: the latents' noise of past chains, from which new ones may go on."""

    persistent: bool = False
    """Keep a buffer. [authors' command for CIFAR-10: no]"""
    size: int = 10_000
    """Chains kept, the newest. [authors' code: 10,000]"""
    probability: float = 0.6
    """Probability that a chain goes on from the buffer, once the annealing is over. [VAEBM: 0.6]"""
    anneal: int = field(default=5000, metadata=LENGTH)
    """Iterations over which that probability rises from 0. [authors' command: 5,000]"""

    def __post_init__(self) -> None:
        require_ranges(self)


def split_noise(eps: Tensor, shapes: list[tuple[int, int, int]]) -> list[Tensor]:
    """The latents' noise [N, *shape] of each group, from the start of eps [N, D]."""
    sizes = [torch.Size(shape).numel() for shape in shapes]
    parts = eps[:, : sum(sizes)].split(sizes, dim=1)
    return [part.view(-1, *shape) for part, shape in zip(parts, shapes, strict=True)]
