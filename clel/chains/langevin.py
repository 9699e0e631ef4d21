"""Langevin dynamics, and the replay buffer that its chains live in.

One step of size s with noise of standard deviation sigma (CLEL Algorithm 1; Welling & Teh, ICML 2011):
    x <- clamp_[0,1](x - s dE/dx + sigma n),   n ~ N(0, I)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor, nn

from clel.bounds import require_ranges
from clel.chains.energy import Energy
from clel.config import ConfigError, require
from clel.data.augment import NONE, AugmentConfig, augment


@dataclass(frozen=True)
class LangevinConfig:
    """One run of a Langevin chain."""

    steps: int = 60
    """Langevin steps in one training iteration. [CLEL Appendix B: 60]"""
    step_size: float = 100.0
    """Step size s, in pixel units (images in [0, 1]) squared an energy unit. [CLEL Appendix B: 100]"""
    noise: float = 0.001
    """Standard deviation of the noise added at each step, pixel units. [authors' code: 0.001]"""
    gradient_clip: float | None = None
    """Clamp dE/dx to [-c, c] a pixel; none by default. [IGEBM: 0.01]"""
    noise_first: bool = False
    """Add the noise before the gradient is taken, at the noisy point. [IGEBM and Improved CD do; CLEL does not]"""

    def __post_init__(self) -> None:
        require_ranges(self)
        clip = self.gradient_clip
        require(clip is None or clip > 0, f"gradient_clip is {clip}; expected a positive number, or none")


class StepBlock(Protocol):
    """Several steps of one energy that are taken at once (clel/chains/cuda_graph.py)."""

    length: int

    def run(self, x: Tensor, generator: torch.Generator) -> None:
        """Take them from x, in place."""


def langevin(
    energy: Energy,
    x: Tensor,
    config: LangevinConfig,
    generator: torch.Generator,
    steps: int | None = None,
    on_step: Callable[[int, Tensor], None] | None = None,
    block: StepBlock | None = None,
) -> Tensor:
    """Run `steps` (config.steps by default) Langevin steps from images x [N, C, H, W] in [0, 1]; x is left alone.

    `on_step(k, x)` is called after each step k = 1, 2, ... with the chain's state, which the next step overwrites.
    With a block, of these settings and shape, steps are taken by it as long as so many are left; then one by one.
    """
    x = x.detach().clone()
    noise = torch.empty_like(x)
    k, steps = 0, config.steps if steps is None else steps
    while k < steps:
        if block is not None and steps - k >= block.length:
            block.run(x, generator)
            k += block.length
        else:
            if draws_noise(config):
                noise.normal_(generator=generator)
            langevin_step(energy, x, noise, config)
            k += 1
        if on_step is not None:
            on_step(k, x)
    return x


def draws_noise(config: LangevinConfig) -> bool:
    """Whether a step takes random numbers."""
    return config.noise_first or config.noise > 0


def langevin_step(energy: Energy, x: Tensor, noise: Tensor, config: LangevinConfig) -> None:
    """One step of x [N, C, H, W] in place, with `noise` from N(0, I)."""
    if config.noise_first:
        x.add_(noise, alpha=config.noise)
    gradient = energy.gradient(x)
    if config.gradient_clip is not None:
        gradient = gradient.clamp(-config.gradient_clip, config.gradient_clip)
    x.add_(gradient, alpha=-config.step_size)
    if not config.noise_first and config.noise > 0:
        x.add_(noise, alpha=config.noise)
    x.clamp_(0, 1)


def restarted(x: Tensor, probability: float, generator: torch.Generator) -> Tensor:
    """The chains x [N, C, H, W], each replaced by uniform noise U[0, 1) with the given probability."""
    chosen = torch.rand(len(x), 1, 1, 1, generator=generator, device=x.device) < probability
    return torch.where(chosen, torch.rand(x.shape, generator=generator, device=x.device), x)


@dataclass(frozen=True)
class BufferConfig:
    """The replay buffer of persistent chains."""

    size: int = 10_000
    """Chains kept. [CLEL Appendix B: 10,000]"""
    restart: float = 0.001
    """Probability that a drawn chain starts anew from uniform noise. [CLEL Appendix B: 0.1 %]"""
    augmentation: AugmentConfig = field(default=NONE)
    """Augmentation of the drawn chains before they run on. [CLEL Appendix B: a random t ~ T every 60 steps]"""

    def __post_init__(self) -> None:
        require_ranges(self)


class ReplayBuffer(nn.Module):
    """Chains [size, C, H, W] in [0, 1] on the device, part of the module's state; `reset` fills it with noise."""

    chains: Tensor

    def __init__(self, config: BufferConfig, shape: tuple[int, int, int]) -> None:
        super().__init__()
        self.config = config
        # noise by torch's global generator, as layers are initialised; the trainer resets it from its own stream
        self.register_buffer("chains", torch.rand(config.size, *shape))

    def reset(self, generator: torch.Generator) -> None:
        """Start every chain from uniform noise U[0, 1)."""
        self.chains.uniform_(generator=generator)

    def draw(self, n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """n distinct chains, each restarted from uniform noise with the restart probability, then augmented.

        Returns:
            images [n, C, H, W] and their places int64 [n] in the buffer, for `put`.

        Raises:
            ConfigError: more chains than the buffer has.
        """
        if n > len(self.chains):
            raise ConfigError(f"{n} chains were asked of a buffer of {len(self.chains)}; raise buffer.size")
        device = self.chains.device
        places = torch.randperm(len(self.chains), generator=generator, device=device)[:n]
        x = restarted(self.chains[places], self.config.restart, generator)
        # the authors augment the fresh noise as well
        return augment(x, self.config.augmentation, generator), places

    def put(self, places: Tensor, x: Tensor) -> None:
        """Write the chains back to where they were drawn."""
        self.chains[places] = x.detach().to(self.chains.dtype)
