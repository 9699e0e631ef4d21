"""Sampling from a CLEL that was trained without labels towards latents z of images, classes or attributes.

    p(x | z) ~ exp(-E(x) + w u(x).z)
which the von Mises-Fisher form of p(z | x) makes of E(x, z) (CLEL Section 2.2, with w for beta); and, for
several latents, exp(-E(x) + sum_a w_a u(x).z_a) (Section 3.4). Every one of these is E(x) - u(x).t with one vector
t = sum_a w_a z_a an image, whose length says how hard it pulls.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
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
        spread: lambda in t = z_y + lambda z_i, normalised, of a chain towards class y, where z_i is the latent of an
            image of the class drawn for that chain: a class is many images, and its latent one place. [this suite]
        restarts: times that chains start anew whose u(x) or h(x) is not where they were pulled (`Aim`). [this suite]
    """

    weight: float = 0.05
    steps: int | None = None
    centred: bool = False
    start: Literal["noise", "buffer"] = "noise"
    rounds: int = 1
    disturbed: bool = False
    spread: float = 0.0
    restarts: int = 0

    def __post_init__(self) -> None:
        require_ranges(self)
        require(self.weight >= 0, f"weight is {self.weight}; expected 0 or more")
        require(self.steps is None or self.steps >= 1, f"steps is {self.steps}; expected at least 1")
        require(self.rounds >= 1, f"rounds is {self.rounds}; expected at least 1")
        require(self.spread >= 0, f"spread is {self.spread}; expected 0 or more")
        require(self.restarts >= 0, f"restarts is {self.restarts}; expected 0 or more")
        require(self.rounds == 1 or (self.steps or self.rounds) >= self.rounds, "rounds: more of them than steps")


@dataclass(frozen=True)
class Aim:
    """What chains are pulled towards, as u(x) and h(x) can tell: of several latents, which one they are nearest to.

    A chain that is not there at its end found no way out of where it began; new noise may have one. No classifier
    has a say in it.

    Attributes:
        latents: unit vectors [K, d]: of all classes, or of all values of an attribute.
        own: int64 [N], the number of the one that u(x) and h(x) are to be nearest to; or not to be, if negated.
    """

    latents: Tensor
    own: Tensor
    negated: bool = False

    def reached(self, z: Tensor, chains: Tensor) -> Tensor:
        """Whether the given chains, int64 [M] of u or h [M, d], are there: bool [M]."""
        nearest = (z @ self.latents.to(z).T).argmax(1)
        return (nearest == self.own.to(z.device)[chains]) != self.negated


class GuidedEnergy(Energy):
    """E(x) - u(x).t of frozen weights, for targets t [N, d]."""

    def __init__(self, energy: ChainEnergy, towards: Tensor) -> None:
        self.energy, self.towards = energy, towards

    def __call__(self, x: Tensor) -> Tensor:
        network, f = self.features(x)
        return image_energy(network, f) - (direction(network, f) * self.towards.to(f.dtype)).sum(1)

    def features(self, x: Tensor) -> tuple[Any, Tensor]:
        """The network, and its f(x) [N, d]."""
        network: Any = self.energy.network
        return network, network(x.to(next(network.parameters()).dtype))

    def u(self, x: Tensor) -> Tensor:
        """u(x) [N, d]."""
        return direction(*self.features(x)).float()

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
    aims: Sequence[Aim] = (),
    on_restart: Callable[[int], None] | None = None,
) -> Tensor:
    """Langevin chains on E(x) - w u(x).t: t [N, d] -> images [N, C, H, W] in [0, 1]; w = `guidance.weight`.

    All t = 0 gives the chains of `method.sample`. Chains that have not reached all their `aims` start anew from noise,
    `guidance.restarts` times; `on_restart` is told how many each time.
    """
    guidance, d = guidance or Guidance(), method.config.network.features
    require(towards.ndim == 2 and towards.shape[1] == d, f"towards is {tuple(towards.shape)}; expected [N, {d}]")
    frozen, t = method.frozen_energy(), guidance.weight * towards.to(method.device)
    x = guided_chains(method, GuidedEnergy(frozen, t), len(t), guidance, generator, start)
    left, again = torch.arange(len(t), device=method.device), replace(guidance, start="noise")
    for _ in range(guidance.restarts if aims else 0):
        seen = (GuidedEnergy(frozen, t[left]).u(x[left]), F.normalize(method.encoder(x[left]), dim=1))
        left = left[~torch.stack([aim.reached(z, left) for aim in aims for z in seen]).all(0)]
        if not len(left):
            break
        if on_restart is not None:
            on_restart(len(left))
        x[left] = guided_chains(method, GuidedEnergy(frozen, t[left]), len(left), again, generator)
    return x


@dataclass(frozen=True)
class ClassLatents:
    """What chains towards classes take of a run's images: see `class_latents`.

    Attributes:
        z: the latent of each class, unit vectors [K, d].
        images: unit latents [N, d] of all images, the mean of all taken off first where z is centred.
        labels: int64 [N], their classes.
    """

    z: Tensor
    images: Tensor
    labels: Tensor

    def targets(self, classes: Tensor, spread: float, generator: torch.Generator) -> Tensor:
        """t [M, d] for chains towards classes int64 [M]: z_y, or z_y + spread z_i normalised; see `Guidance`."""
        if not spread:
            return self.z[classes]
        # which of the class's images: the k-th of them in the order of a permutation
        order = torch.randperm(len(self.labels), generator=generator, device=generator.device).to(self.labels.device)
        drawn = torch.empty_like(classes)
        for label in classes.unique():
            own, asked = order[self.labels[order] == label], torch.nonzero(classes == label)[:, 0]
            drawn[asked] = own[torch.arange(len(asked), device=own.device) % len(own)]
        return F.normalize(self.z[classes] + spread * self.images[drawn], dim=1)


def sample_classes(
    method: CLEL,
    of: ClassLatents,
    classes: Tensor,
    generator: torch.Generator,
    guidance: Guidance,
    on_restart: Callable[[int], None] | None = None,
) -> Tensor:
    """Chains towards classes int64 [N] -> images [N, C, H, W] in [0, 1]; see `sample_towards`."""
    t = of.targets(classes, guidance.spread, generator)
    return sample_towards(method, t, generator, guidance, aims=[Aim(of.z, classes)], on_restart=on_restart)


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


def class_latents(method: CLEL, images: Images, centred: bool = False) -> ClassLatents:
    """The normalised sum of the latents of each class's images [CLEL Section 3.4], and of what it is the sum.

    centred: the mean of all latents is taken off first, so that what all classes share pulls nowhere. [this suite]

    Raises:
        ConfigError: images without labels.
    """
    if images.labels is None:
        raise ConfigError(f"{images.name}: no labels; a class's latent is made of the images of that class")
    z, labels = latents(method, images.pixels), images.labels.to(method.device)
    own = F.normalize(z - z.mean(0), dim=1) if centred else z
    return ClassLatents(summed(z, labels, len(images.classes), centred), own, labels)


def summed(z: Tensor, labels: Tensor, count: int, centred: bool = False) -> Tensor:
    """The normalised sum of the unit latents z [N, d] of each label: [count, d]."""
    z = z - z.mean(0) if centred else z
    return F.normalize(torch.zeros(count, z.shape[1], device=z.device).index_add_(0, labels.to(z.device), z), dim=1)
