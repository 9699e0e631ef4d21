"""The spherical latent-variable energy: its parts, its marginal, its number format."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from clel.data import ImageSpec
from clel.methods.spherical_energy import direction, joint_energy, norm_energy
from clel.networks.energy_network import EnergyNetwork, NetworkConfig

SPEC = ImageSpec(1, 8, (0.5,), (0.25,))


@pytest.fixture(scope="module")
def network() -> EnergyNetwork:
    torch.manual_seed(0)
    network = EnergyNetwork(NetworkConfig((4, 8), 1, hidden=16, features=3), SPEC).double().eval()
    with torch.no_grad():
        for p in network.parameters():
            p.mul_(10)
    return network


@pytest.fixture
def x() -> Tensor:
    return torch.rand(4, 1, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def test_norm_energy() -> None:
    assert norm_energy(torch.tensor([[3.0, 4.0], [0.0, -2.0]])).tolist() == [12.5, 2.0]


def test_half_precision_features_are_summed_in_float32() -> None:
    f = torch.full((1, 1024), 0.1, dtype=torch.bfloat16)
    energy = norm_energy(f)
    assert energy.dtype == torch.float32
    assert float(energy) == pytest.approx(512 * float(f[0, 0]) ** 2, rel=1e-5)
    assert norm_energy(f.double()).dtype == torch.float64


@pytest.mark.parametrize("one_latent", [False, True])
def test_joint_energy(network: EnergyNetwork, x: Tensor, one_latent: bool) -> None:
    """E(x, z) = 1/2 |f|^2 - beta u.z / |z|, for a latent an image or one for all."""
    z = torch.randn((3,) if one_latent else (4, 3), dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        energy = joint_energy(network, x, z, beta=0.7)
        f = network(x)
        g = network.projection(f).numpy()
    for i in range(4):
        latent = z.numpy() if one_latent else z[i].numpy()
        cosine = (g[i] * latent).sum() / np.sqrt((g[i] ** 2).sum() * (latent**2).sum())
        assert float(energy[i]) == pytest.approx(0.5 * float((f[i] ** 2).sum()) - 0.7 * cosine, rel=1e-12)


def test_marginal_over_the_sphere(network: EnergyNetwork, x: Tensor) -> None:
    """The integral of exp(-E(x, z)) over the unit sphere is exp(-E(x)) times a constant that does not depend on x.

    For the 2-sphere the constant is 4 pi sinh(beta) / beta; the integral is taken on a grid of cos(theta), phi.
    """
    beta = 1.5
    nodes, node_weights = np.polynomial.legendre.leggauss(24)
    angles = 2 * math.pi * np.arange(48) / 48
    sine = np.sqrt(1 - nodes**2)
    z = np.stack([np.outer(sine, np.cos(angles)), np.outer(sine, np.sin(angles)), np.outer(nodes, np.ones(48))], -1)
    w = np.outer(node_weights, np.full(48, 2 * math.pi / 48)).ravel()
    latents = torch.from_numpy(z.reshape(-1, 3))
    with torch.no_grad():
        for image in x:
            repeated = image[None].expand(len(latents), -1, -1, -1)
            total = float((torch.exp(-joint_energy(network, repeated, latents, beta)) * torch.from_numpy(w)).sum())
            marginal = math.exp(-float(norm_energy(network(image[None]))))
            assert total == pytest.approx(marginal * 4 * math.pi * math.sinh(beta) / beta, rel=1e-10)


def test_directions_are_unit_vectors(network: EnergyNetwork, x: Tensor) -> None:
    with torch.no_grad():
        torch.testing.assert_close(direction(network, network(x)).norm(dim=1), torch.ones(4, dtype=torch.float64))
