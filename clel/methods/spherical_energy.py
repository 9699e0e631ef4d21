"""The spherical latent-variable energy of CLEL (Section 2.2).

With f = f(x), its direction u(x) = g(f) / |g(f)| and a latent z on the unit sphere,
    E(x)    = 1/2 |f(x)|^2
    E(x, z) = 1/2 |f(x)|^2 - beta u(x).z
p(z | x) is von Mises-Fisher around u(x); its normaliser does not depend on x, so the marginal over x is exp(-E(x))
exactly, and unconditional Langevin dynamics need not know of z. A network with an energy head has its output in the
place of 1/2 |f|^2 (footnote 1).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from clel.chains.energy import Energy
from clel.chains.gradient import NormGradient, norm_gradient
from clel.networks.energy_network import EnergyNetwork, outside_autocast


def norm_energy(f: Tensor) -> Tensor:
    """E = 1/2 |f|^2: [N, d] -> [N], summed in float32 at least (features may come in bfloat16)."""
    f = f if f.element_size() >= 4 else f.float()
    return 0.5 * f.square().sum(1)


def image_energy(network: EnergyNetwork, f: Tensor) -> Tensor:
    """E(x) [N] of f = f(x) [N, d]: 1/2 |f|^2, or what the network's own head says of f, in float32 at least."""
    if network.energy_head is None:
        return norm_energy(f)
    energy = outside_autocast(network.energy_head, f).squeeze(1)
    return energy if energy.element_size() >= 4 else energy.float()


def direction(network: EnergyNetwork, f: Tensor) -> Tensor:
    """u = g(f) / |g(f)|: [N, d] -> unit vectors [N, d]. g has no bias, so the length of f does not matter."""
    return F.normalize(network.projection(f), dim=1)


def joint_energy(network: EnergyNetwork, x: Tensor, z: Tensor, beta: float) -> Tensor:
    """E(x, z) = 1/2 |f(x)|^2 - beta u(x).z for latents z [N, d] or [d]; z is normalised here."""
    f = network(x)
    return image_energy(network, f) - beta * (direction(network, f) * F.normalize(z, dim=-1)).sum(1)


class ImageEnergy(Energy):
    """E(x) of a network for images of `side` pixels, with its input gradient by hand where that is known."""

    def __init__(self, network: EnergyNetwork, side: int) -> None:
        self.network, self.side = network, side

    def __call__(self, x: Tensor) -> Tensor:
        return image_energy(self.network, self.network(x))

    def by_hand(self, dtype: torch.dtype, in_pieces: bool) -> NormGradient | None:
        return norm_gradient(self.network, dtype, in_pieces, self.side)
