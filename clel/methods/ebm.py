"""An EBM trained by contrastive divergence with Langevin chains from a replay buffer: what CLEL, its plain baseline and
IGEBM have in common. A method adds its network and whatever else it learns."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.optim import Adam
from torch.optim.lr_scheduler import LambdaLR

from clel.bounds import require_ranges
from clel.chains.cuda_graph import Recordings
from clel.chains.energy import ChainEnergy, Energy
from clel.chains.langevin import BufferConfig, LangevinConfig, ReplayBuffer, langevin
from clel.chains.switches import Engine, Switches, stated, switches, training_pass
from clel.config import ADDED, LENGTH, ConfigError, require, to_dict
from clel.data import ImageSpec
from clel.data.augment import NONE
from clel.data.images import refuse_pixels
from clel.methods.clipping import clip_before_steps
from clel.methods.method import Method, Optimisation
from clel.networks.pieces import InPieces, divisible


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
    warmup: int = field(default=2000, metadata=LENGTH)
    """Iterations of linear warm-up of the learning rate. [CLEL Appendix B: 2,000]"""
    cooldown: float = 0.0
    """Share of the iterations, the last ones, over which the learning rate falls linearly to 0. [this suite]"""
    clip_sigmas: float = field(default=0.0, metadata=ADDED)
    """Clamp each element of the network's gradient to so many sigma, sigma^2 Adam's mean square of it so far; 0: not.
    [this suite]"""
    engine: Engine = "fast"
    """How chains and training passes are computed: exact, float32, bfloat16 (the network in chains), or fast, every
    switch of clel/chains/switches.py that pays; images, noise and energies stay float32. [this suite]"""

    def __post_init__(self) -> None:
        require_ranges(self)
        require(self.clip_sigmas >= 0, f"clip_sigmas is {self.clip_sigmas}; expected 0 or more")
        require(
            self.batch_size <= self.buffer.size,
            f"batch_size {self.batch_size} is more than buffer.size {self.buffer.size}; raise buffer.size",
        )


class LangevinEBM(Method):
    """Base of EBMs with a replay buffer; subclasses define `network` and `energy_of`."""

    network: nn.Module
    config: EBMConfig
    widest: int = 0
    """Values in the largest activation of an image, of a method that trains in pieces of a batch; 0 for others. Its
    network must treat each image by itself: no batch statistics (these layers are noticed), no dropout."""

    def __init__(self, config: EBMConfig, spec: ImageSpec) -> None:
        super().__init__(config, spec)
        self.buffer = ReplayBuffer(config.buffer, spec.shape)
        self._switches: tuple[tuple[Engine, torch.device], Switches] | None = None
        self._chain_energy: ChainEnergy | None = None
        self._recordings = Recordings()
        self._in_pieces: InPieces | None = None

    @abstractmethod
    def energy_of(self, network: nn.Module) -> Energy:
        """E of the given network: the live one, its frozen view, or what passes it a few images at a time."""

    @property
    def switches(self) -> Switches:
        """What the engine comes down to on the present device."""
        asked = (self.config.engine, self.device)
        if self._switches is None or self._switches[0] != asked:
            self._switches = (asked, switches(*asked))
        return self._switches[1]

    @property
    def device(self) -> torch.device:
        """Where the method lies."""
        return self.buffer.chains.device

    @property
    def engine(self) -> str:
        """The engine in words, for the protocol of samples."""
        return stated(self.config.engine, self.device)

    @property
    def gradient_evaluations_per_step(self) -> int:
        return self.config.langevin.steps

    def optimisers(self, iterations: int) -> list[Optimisation]:
        """Adam on the network; a subclass that learns more adds to it."""
        return [self.network_optimisation(iterations)]

    def network_optimisation(self, iterations: int) -> Optimisation:
        """Adam on the energy network, with warm-up, cool-down and, if asked for, clamped gradients."""
        c, fused = self.config, self.switches.fused_optimisers
        optimiser, schedule = adam(self.network.parameters(), c.lr, c.betas, c.warmup, c.cooldown, iterations, fused)
        if c.clip_sigmas:
            clip_before_steps(optimiser, c.clip_sigmas)
        return optimiser, schedule

    def training_step(self, images: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
        """Contrastive divergence alone: mean(E+ - E-) + alpha mean(E+^2 + E-^2)."""
        require_images(images, self.images_per_step)
        negatives = self.negatives(generator)
        with self.training_pass(self.network):
            energies = self.energy_of(self.trained_network())(self.laid_out(torch.cat([images, negatives])))
        positive, negative = energies.split(len(images))
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
        refuse_pixels(images)
        return self.energy_of(self.network)(images)

    def training_pass(self, network: nn.Module) -> AbstractContextManager[None]:
        """Inside, a forward of `network` that is to be differentiated runs as the engine has it."""
        dtype = self.switches.training_dtype
        return nullcontext() if dtype == torch.float32 else training_pass(network, dtype, self.device)

    def trained_network(self) -> nn.Module:
        """The network as a training pass calls it: itself, or itself a few images at a time if the batch is large."""
        s, value = self.switches, torch.finfo(self.switches.training_dtype).bits // 8
        images = s.training_piece // (value * self.widest) if self.widest else 0
        if not 0 < images < 2 * self.config.batch_size or not divisible(self.network):
            return self.network
        current = self._in_pieces
        if current is None or current.images != images or current.view.original is not self.network:
            self._in_pieces = InPieces(self.network, images)
        return cast(nn.Module, self._in_pieces)

    def laid_out(self, images: Tensor) -> Tensor:
        """The images [N, C, H, W] in the memory format in which the engine lets networks have them."""
        return images.to(memory_format=torch.channels_last) if self.switches.channels_last else images

    def frozen_energy(self) -> ChainEnergy:
        """E of the present weights, which stands still under Langevin chains."""
        current = self._chain_energy
        if (
            current is None
            or current.live is not self.network
            or (current.device, current.switches) != (self.device, self.switches)
        ):
            current = ChainEnergy(self.network, self.energy_of, self.switches)
            self._chain_energy, self._recordings = current, Recordings()
        return current.refresh()

    def negatives(self, generator: torch.Generator) -> Tensor:
        """x- [batch_size, C, H, W]: chains drawn from the buffer, run on, and written back."""
        x, places = self.buffer.draw(self.config.batch_size, generator)
        x = self.continue_chains(x, generator)
        self.buffer.put(places, x)
        return x

    def sample(self, n: int, generator: torch.Generator, steps: int | None = None) -> Tensor:
        x = torch.rand(n, *self.spec.shape, generator=generator, device=self.device)
        return self.continue_chains(x, generator, steps)

    def continue_chains(self, x: Tensor, generator: torch.Generator, steps: int | None = None) -> Tensor:
        energy, config, length = self.frozen_energy(), self.config.langevin, self.switches.graph_steps
        steps = config.steps if steps is None else steps
        block = self._recordings.steps(energy, x, config, length) if 0 < length <= steps else None
        return langevin(energy, x, config, generator, steps, block=block)


def gradient_norms(network: nn.Module, terms: Mapping[str, Tensor]) -> dict[str, float]:
    """gradient_<name>: |d term / d weights| of each of two terms of a loss; gradient_cosine: of the angle between."""
    weights = list(network.parameters())
    found = {}
    for name, term in terms.items():
        parts = torch.autograd.grad(term, weights, retain_graph=True, allow_unused=True)
        flat = [torch.zeros_like(w) if g is None else g for w, g in zip(weights, parts, strict=True)]
        found[name] = torch.cat([g.flatten().double() for g in flat])
    first, second = found.values()
    norms = {f"gradient_{name}": float(gradient.norm()) for name, gradient in found.items()}
    return norms | {"gradient_cosine": float(torch.nn.functional.cosine_similarity(first, second, dim=0))}


def require_images(images: Tensor, n: int) -> None:
    """Raise ConfigError unless there are n images."""
    if len(images) != n:
        raise ConfigError(f"a training step takes {n} images (images_per_step); given {len(images)}")


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


def adam(
    parameters: Any,
    lr: float,
    betas: tuple[float, float],
    warmup: int,
    cooldown: float = 0.0,
    iterations: int = 0,
    fused: bool = False,
) -> Optimisation:
    """Adam whose rate rises linearly over `warmup` iterations and falls to 0 over the share `cooldown` of them all.

    `fused`: one kernel updates all weights; the last bits differ from those of the other form.
    """
    optimiser = Adam(list(parameters), lr=lr, betas=betas, fused=fused or None)
    up, down = warmup_factor(warmup), cooldown_factor(cooldown, iterations)
    return optimiser, LambdaLR(optimiser, lambda t: min(up(t), down(t)))


def warmup_factor(warmup: int) -> Callable[[int], float]:
    """t -> min(1, (t + 1) / warmup): the factor of the learning rate in iteration t = 0, 1, ..."""
    return lambda t: min(1.0, (t + 1) / warmup) if warmup > 0 else 1.0


def cooldown_factor(share: float, iterations: int) -> Callable[[int], float]:
    """t -> min(1, (iterations - t) / (share iterations)): 1 until the last `share` of iterations, then down to 0."""
    length = share * iterations
    return lambda t: min(1.0, max(0.0, iterations - t) / length) if length > 0 else 1.0
