"""Sampling from a CLEL that was trained without labels towards latents z of images, classes or attributes.

    p(x | z) ~ exp(-E(x) + w u(x).z)
which the von Mises-Fisher form of p(z | x) makes of E(x, z) (CLEL Section 2.2, with w for beta); and, for
several latents, exp(-E(x) + sum_a w_a u(x).z_a) (Section 3.4). Every one of these is E(x) - u(x).t with one vector
t = sum_a w_a z_a an image, whose length says how hard it pulls.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from clel.bounds import require_ranges
from clel.chains.energy import ChainEnergy, Energy
from clel.chains.langevin import langevin
from clel.chains.protocol import CLEAN
from clel.config import ConfigError, require
from clel.data import Images, to_float
from clel.methods.clel import CLEL
from clel.methods.ebm import LangevinEBM
from clel.methods.spherical_energy import direction, image_energy
from clel.sampling.fresh import own_protocols


@dataclass(frozen=True)
class Guidance:
    """How chains are guided; the published descriptions leave all of it open.

    Attributes:
        weight: w, how hard the latent (or the classifier) pulls.
        steps: Langevin steps in all; the method's own in training if None.
        centred: of a class's latent the mean of all latents is taken off first.
        start: where chains begin: uniform noise, or the method's replay buffer as training left it.
        rounds: parts that the steps are divided into.
        disturbed: before each round chains are disturbed as the method's authors do in sampling: the protocol `paper`.
    """

    weight: float = 0.05
    steps: int | None = None
    centred: bool = False
    start: Literal["noise", "buffer"] = "noise"
    rounds: int = 1
    disturbed: bool = False

    def __post_init__(self) -> None:
        require_ranges(self)
        require(self.weight >= 0, f"weight is {self.weight}; expected 0 or more")
        require(self.steps is None or self.steps >= 1, f"steps is {self.steps}; expected at least 1")
        require(self.rounds >= 1, f"rounds is {self.rounds}; expected at least 1")
        require(self.rounds == 1 or (self.steps or self.rounds) >= self.rounds, "rounds: more of them than steps")


class GuidedEnergy(Energy):
    """E(x) - u(x).t of frozen weights, for targets t [N, d]."""

    def __init__(self, energy: ChainEnergy, towards: Tensor) -> None:
        self.energy, self.towards = energy, towards

    def __call__(self, x: Tensor) -> Tensor:
        network: Any = self.energy.network
        f = network(x.to(next(network.parameters()).dtype))
        return image_energy(network, f) - (direction(network, f) * self.towards.to(f.dtype)).sum(1)

    def gradient(self, x: Tensor) -> Tensor:
        """dE/dx - d(u.t)/dx [N, C, H, W], by hand where the chains' energy has its gradient so."""
        hand = self.energy.hand
        return super().gradient(x) if hand is None else hand(x, self.towards)  # type: ignore[call-arg]


class ClassifierGuidedEnergy(Energy):
    """E(x) - w log p(y | x) for labels y [N] and logits(x) [N, K] of a classifier.

    What an EBM without latents takes to draw a class: an external classifier, with labels. [Dhariwal and Nichol 2021]
    """

    def __init__(self, energy: ChainEnergy, logits: Callable[[Tensor], Tensor], labels: Tensor, weight: float) -> None:
        self.energy = energy
        self.pull = Energy(lambda x: weight * F.cross_entropy(logits(x), labels, reduction="none").to(x.dtype))

    def __call__(self, x: Tensor) -> Tensor:
        return self.energy(x) + self.pull(x)

    def gradient(self, x: Tensor) -> Tensor:
        """dE/dx, as the chains' energy has it, and the classifier's by autograd: [N, C, H, W]."""
        return self.energy.gradient(x) + self.pull.gradient(x)


@torch.no_grad()
def guided_chains(
    method: LangevinEBM,
    energy: Energy,
    n: int,
    guidance: Guidance,
    generator: torch.Generator,
    start: Tensor | None = None,
) -> Tensor:
    """n Langevin chains on a guided energy -> images [N, C, H, W] in [0, 1]. `guidance.weight` is the energy's matter.

    start: n images that the chains begin at, whatever `guidance.start` says.

    Raises:
        ConfigError: a buffer with fewer chains than n, or a method whose authors disturb no chains.
    """
    if start is not None:
        require(len(start) == n, f"start has {len(start)} images for {n} chains")
        x = start
    elif guidance.start == "buffer":
        held = method.chains()
        require(len(held) >= n, f"the replay buffer has {len(held)} chains; asked for {n} at a time")
        x = held[torch.randperm(len(held), generator=generator, device=held.device)[:n]].to(method.device)
    else:
        x = torch.rand(n, *method.spec.shape, generator=generator, device=method.device)
    protocol = CLEAN
    if guidance.disturbed:
        own = own_protocols(type(method), method.config)
        require("paper" in own, f"{method.title} has no protocol `paper`: its authors disturb no chains")
        protocol = own["paper"]
    total = guidance.steps or method.config.langevin.steps
    for number in range(guidance.rounds):
        steps = total // guidance.rounds + (number < total % guidance.rounds)
        x = langevin(energy, protocol.before_round(x, generator), method.config.langevin, generator, steps)
    return x


@torch.no_grad()
def sample_towards(
    method: CLEL,
    towards: Tensor,
    generator: torch.Generator,
    guidance: Guidance | None = None,
    start: Tensor | None = None,
) -> Tensor:
    """Langevin chains on E(x) - w u(x).t: t [N, d] -> images [N, C, H, W] in [0, 1]; w = `guidance.weight`.

    All t = 0 gives the chains of `method.sample`.
    """
    guidance, d = guidance or Guidance(), method.config.network.features
    require(towards.ndim == 2 and towards.shape[1] == d, f"towards is {tuple(towards.shape)}; expected [N, {d}]")
    energy = GuidedEnergy(method.frozen_energy(), guidance.weight * towards.to(method.device))
    return guided_chains(method, energy, len(towards), guidance, generator, start)


@torch.no_grad()
def latents(method: CLEL, pixels: Tensor, batch: int = 500) -> Tensor:
    """h(x) / |h(x)| [N, d] of uint8 images [N, C, H, W], without augmentation; the method in evaluation mode.

    Raises:
        ConfigError: images of another shape than the method's.
    """
    shape = tuple(pixels.shape[1:])
    require(shape == method.spec.shape, f"images [C, H, W] of {list(shape)}; this model has {list(method.spec.shape)}")
    parts = [method.encoder(to_float(part.to(method.device), None)) for part in pixels.split(batch)]
    return F.normalize(torch.cat(parts), dim=1)


def class_latents(method: CLEL, images: Images, centred: bool = False) -> Tensor:
    """The normalised sum of the latents of each class's images: [K, d]. [CLEL Section 3.4]

    centred: the mean of all latents is taken off first, so that what all classes share pulls nowhere. [this suite]

    Raises:
        ConfigError: images without labels.
    """
    if images.labels is None:
        raise ConfigError(f"{images.name}: no labels; a class's latent is made of the images of that class")
    return summed(latents(method, images.pixels), images.labels, len(images.classes), centred)


def summed(z: Tensor, labels: Tensor, count: int, centred: bool = False) -> Tensor:
    """The normalised sum of the unit latents z [N, d] of each label: [count, d]."""
    z = z - z.mean(0) if centred else z
    return F.normalize(torch.zeros(count, z.shape[1], device=z.device).index_add_(0, labels.to(z.device), z), dim=1)
