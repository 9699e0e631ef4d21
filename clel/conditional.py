"""Sampling from a CLEL that was trained without labels towards latents z of images, classes or attributes.

    p(x | z) ~ exp(-E(x) + w u(x).z)
which the von Mises-Fisher form of p(z | x) makes of E(x, z) (CLEL Section 2.2, with w in the place of beta); and, for
several latents, exp(-E(x) + sum_a w_a u(x).z_a) (Section 3.4). Every one of these is E(x) - u(x).t with one vector
t = sum_a w_a z_a an image, whose length says how hard it pulls.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from clel.chain_energy import ChainEnergy
from clel.clel import CLEL
from clel.config import ConfigError, require
from clel.data import Images, to_float
from clel.energy import direction, norm_energy
from clel.langevin import autograd_gradient, langevin


class GuidedEnergy:
    """E(x) - u(x).t of frozen weights: images [N, C, H, W] and targets t [N, d] -> [N]; has `gradient`."""

    def __init__(self, energy: ChainEnergy, towards: Tensor) -> None:
        self.energy, self.towards = energy, towards

    def __call__(self, x: Tensor) -> Tensor:
        network: Any = self.energy.live if self.energy.view is None else self.energy.view.network
        f = network(x.to(next(network.parameters()).dtype))
        return norm_energy(f) - (direction(network, f) * self.towards.to(f.dtype)).sum(1)

    def gradient(self, x: Tensor) -> Tensor:
        """dE/dx - d(u.t)/dx [N, C, H, W], by hand where the chains' energy has its gradient so."""
        hand = self.energy.hand
        return autograd_gradient(self, x) if hand is None else hand(x, self.towards)  # type: ignore[call-arg]


@torch.no_grad()
def sample_towards(
    method: CLEL, towards: Tensor, generator: torch.Generator, steps: int | None = None, start: Tensor | None = None
) -> Tensor:
    """Langevin chains on E(x) - u(x).t: t [N, d] -> images [N, C, H, W] in [0, 1], from uniform noise or `start`.

    steps: the method's own in training if None. All t = 0 gives the chains of `method.sample`.
    """
    n, d = len(towards), method.config.network.features
    require(towards.ndim == 2 and towards.shape[1] == d, f"towards is {tuple(towards.shape)}; expected [N, {d}]")
    x = torch.rand(n, *method.spec.shape, generator=generator, device=method.device) if start is None else start
    require(len(x) == n, f"start has {len(x)} images for {n} targets")
    energy = GuidedEnergy(method.frozen_energy(), towards.to(method.device))
    return langevin(energy, x, method.config.langevin, generator, steps)


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
