"""An EBM trained by contrastive divergence with Langevin chains from a replay buffer: what CLEL, its plain baseline and
IGEBM have in common. A method adds its network and whatever else it learns."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor, nn

from clel.augment import NONE
from clel.config import require, to_dict
from clel.data import ImageSpec
from clel.energy import Energy
from clel.frozen import FrozenView
from clel.langevin import BufferConfig, LangevinConfig, ReplayBuffer, langevin
from clel.method import Method, Optimisation, adam


@dataclass(frozen=True, kw_only=True)
class EBMConfig:
    """Hyper-parameters of contrastive divergence with a replay buffer."""

    batch_size: int = 64
    """Images, and Langevin chains, in one iteration. [CLEL Appendix B: 64]"""
    alpha: float = 1.0
    """Weight of the squared energies. [CLEL Appendix B: 1]"""
    langevin: LangevinConfig = field(default_factory=LangevinConfig)
    """The chains."""
    buffer: BufferConfig = field(default_factory=BufferConfig)
    """Where the chains live between iterations."""
    lr: float = 1e-4
    """Adam's learning rate for the energy network. [CLEL Appendix B: 1e-4]"""
    betas: tuple[float, float] = (0.0, 0.999)
    """Adam's betas. [CLEL Appendix B]"""
    warmup: int = 2000
    """Iterations of linear warm-up of the learning rate. [CLEL Appendix B: 2,000]"""
    cooldown: float = 0.0
    """Share of the iterations, the last ones, over which the learning rate falls linearly to 0. [this suite]"""
    engine: Literal["float32", "bfloat16"] = "float32"
    """Number format of the network while chains run; images, noise and energies stay float32. [this suite]"""

    def __post_init__(self) -> None:
        require(self.batch_size >= 1, f"batch_size is {self.batch_size}; expected at least 1")
        require(
            self.batch_size <= self.buffer.size,
            f"batch_size {self.batch_size} is more than buffer.size {self.buffer.size}; raise buffer.size",
        )
        require(self.lr > 0, f"lr is {self.lr}; expected a positive number")
        require(0 <= self.cooldown <= 1, f"cooldown is {self.cooldown}; expected a share of the iterations, 0 to 1")
        require(self.alpha >= 0, f"alpha is {self.alpha}; expected 0 or more")


class LangevinEBM(Method):
    """Base of EBMs with a replay buffer; subclasses define `network` and `network_energy`."""

    network: nn.Module
    config: EBMConfig

    def __init__(self, config: EBMConfig, spec: ImageSpec) -> None:
        super().__init__(config, spec)
        self.buffer = ReplayBuffer(config.buffer, spec.shape)
        self._view: FrozenView | None = None

    @abstractmethod
    def network_energy(self, network: nn.Module, x: Tensor) -> Tensor:
        """E(x) [N] by the given network: the live one, or its frozen view."""

    @property
    def gradient_evaluations_per_step(self) -> int:
        return self.config.langevin.steps

    def optimisers(self, iterations: int) -> list[Optimisation]:
        """Adam on the network; a subclass that learns more adds to it."""
        return [self.network_optimisation(iterations)]

    def network_optimisation(self, iterations: int) -> Optimisation:
        """Adam on the energy network, with warm-up and cool-down."""
        c = self.config
        return adam(self.network.parameters(), c.lr, c.betas, c.warmup, c.cooldown, iterations)

    def training_step(self, images: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
        """Contrastive divergence alone: mean(E+ - E-) + alpha mean(E+^2 + E-^2)."""
        require_images(images, self.images_per_step)
        negatives = self.negatives(generator)
        positive, negative = self.energy(torch.cat([images, negatives])).split(len(images))
        losses = contrastive_divergence(positive, negative, self.config.alpha)
        return losses | {"loss": losses["divergence"]}

    def counted(self) -> list[nn.Module]:
        return [self.network]

    def reset_chains(self, generator: torch.Generator) -> None:
        self.buffer.reset(generator)

    def chains(self) -> Tensor:
        return self.buffer.chains

    def chains_protocol(self) -> dict[str, Any]:
        b = self.config.buffer
        return {
            "steps": self.config.langevin.steps,
            "restart": b.restart,
            "augmentation": "none" if b.augmentation == NONE else to_dict(b.augmentation),
            "weights": "the live ones of each iteration",
        }

    def energy(self, images: Tensor) -> Tensor:
        return self.network_energy(self.network, images)

    def frozen_energy(self) -> Energy:
        """E of the present weights on the frozen view, for Langevin chains: [N, C, H, W] -> [N]."""
        dtype = getattr(torch, self.config.engine)
        device = self.buffer.chains.device
        if self._view is None or self._view.device != device:
            self._view = FrozenView(self.network, dtype)
        network = self._view.refresh()
        return lambda x: self.network_energy(network, x.to(dtype))

    def negatives(self, generator: torch.Generator) -> Tensor:
        """x- [batch_size, C, H, W]: chains drawn from the buffer, run on, and written back."""
        x, places = self.buffer.draw(self.config.batch_size, generator)
        x = langevin(self.frozen_energy(), x, self.config.langevin, generator)
        self.buffer.put(places, x)
        return x

    def sample(self, n: int, generator: torch.Generator, steps: int | None = None) -> Tensor:
        shape, device = self.spec.shape, self.buffer.chains.device
        x = torch.rand(n, *shape, generator=generator, device=device)
        return self.continue_chains(x, generator, steps)

    def continue_chains(self, x: Tensor, generator: torch.Generator, steps: int | None = None) -> Tensor:
        return langevin(self.frozen_energy(), x, self.config.langevin, generator, steps)


def require_images(images: Tensor, n: int) -> None:
    """Raise ConfigError unless there are n images."""
    require(len(images) == n, f"a training step takes {n} images (images_per_step); given {len(images)}")


def contrastive_divergence(positive: Tensor, negative: Tensor, alpha: float) -> dict[str, Tensor]:
    """mean(E+ - E-) + alpha mean(E+^2 + E-^2) of energies [N] each (Du & Mordatch 2019; CLEL Algorithm 1).

    Returns:
        "divergence", that sum, and the means "energy_positive" and "energy_negative".
    """
    return {
        "divergence": positive.mean() - negative.mean() + alpha * (positive.square().mean() + negative.square().mean()),
        "energy_positive": positive.detach().mean(),
        "energy_negative": negative.detach().mean(),
    }
