"""Network, losses, input gradient, chain and OOD score against the authors' release, in float64.

data_parity/small.json holds what their code computes for weights and images made by a formula; data_parity/streams.txt
names the stream of each weight tensor. Agreement to 1e-9 is what an equal computation gives.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from clel.chains.energy import Energy
from clel.chains.langevin import BufferConfig, LangevinConfig, langevin
from clel.data import ImageSpec
from clel.data.augment import NONE
from clel.methods.clel import CLEL, CLELConfig, nt_xent
from clel.methods.spherical_energy import direction, norm_energy
from clel.networks.encoder import EncoderConfig
from clel.networks.energy_network import NETWORKS, Normalise, parameter_count
from clel.networks.frozen import FrozenView

FOLDER = Path(__file__).parent / "data_parity"
EXPECTED: dict[str, Any] = json.loads((FOLDER / "small.json").read_text())
MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)
SPEC = ImageSpec(3, 32, MEAN, STD)
N, D = 4, 128


def hash01(shape: tuple[int, ...], k: int) -> np.ndarray:
    """Numbers in [0, 1) by an integer hash of (position in C order, stream k)."""
    mask = np.uint64(0xFFFFFFFF)
    h = (np.arange(math.prod(shape), dtype=np.uint64) + np.uint64(7919 * k)) & mask
    h = (h * np.uint64(2654435761)) & mask
    h ^= h >> np.uint64(16)
    h = (h * np.uint64(2246822519)) & mask
    h ^= h >> np.uint64(13)
    h = (h * np.uint64(3266489917)) & mask
    h ^= h >> np.uint64(16)
    return (h.astype(np.float64) / 2**32).reshape(shape)


def signed(shape: tuple[int, ...], k: int) -> Tensor:
    return torch.from_numpy(2 * hash01(shape, k) - 1)


def images(k: int) -> Tensor:
    x = 0.3 * hash01((N, 3, 32, 32), 1000 + k) + 0.7 * hash01((N, 3, 1, 1), 2000 + k)
    return torch.from_numpy(x)


def weights() -> dict[str, Tensor]:
    """Every tensor of streams.txt, under the release's names."""
    tensors = {}
    for line in (FOLDER / "streams.txt").read_text().splitlines():
        k, name, shape_text = line.split(maxsplit=2)
        shape = tuple(int(s) for s in re.findall(r"\d+", shape_text))
        value = 2 * hash01(shape, int(k)) - 1
        if len(shape) == 1:
            value *= 0.1
        elif len(shape) == 2:
            value *= 3 / math.sqrt(shape[1])
        else:
            value /= np.linalg.svd(value.reshape(shape[0], -1), compute_uv=False)[0]
        tensors[name] = torch.from_numpy(value)
    return tensors


def own_name(name: str) -> str:
    """The release's name of a tensor -> this library's."""
    return name if name.startswith(("head.", "projection.")) else f"towers.0.{name}"


class ScriptedEncoder(nn.Module):
    """Stands for h: the guidance latents for n images, the two views' latents for 2n."""

    def forward(self, x: Tensor) -> Tensor:
        return signed((N, D), 3001) if len(x) == N else signed((2 * N, D), 3002)


class ScriptedCLEL(CLEL):
    """CLEL whose chains arrive at the given x-; everything else is the library's."""

    def negatives(self, generator: torch.Generator) -> Tensor:
        return images(2)


@pytest.fixture(scope="module")
def method() -> CLEL:
    config = CLELConfig(
        engine="float32",
        network=replace(NETWORKS["small"], spectral_norm=False),
        encoder=EncoderConfig("tiny"),
        batch_size=N,
        contrastive_batch_size=N,
        buffer=BufferConfig(size=N),
        views=NONE,
    )
    method = ScriptedCLEL(config, SPEC).double()
    method.encoder = ScriptedEncoder()  # type: ignore[assignment]
    network = method.network
    network.load_state_dict({own_name(name): value for name, value in weights().items()})
    for module in network.modules():
        if isinstance(module, Normalise):
            # the buffers were rounded to float32 before .double()
            module.mean = torch.tensor(MEAN, dtype=torch.float64).view(-1, 1, 1)
            module.std = torch.tensor(STD, dtype=torch.float64).view(-1, 1, 1)
    return method


def agrees(actual: Tensor | float, key: str | float | list[Any]) -> None:
    expected = np.array(EXPECTED[key] if isinstance(key, str) else key)
    found = actual.detach().numpy() if isinstance(actual, Tensor) else np.array(actual)
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-15)


def test_parameters(method: CLEL) -> None:
    assert parameter_count(method.network) == EXPECTED["parameters"]


def test_energy(method: CLEL) -> None:
    with torch.no_grad():
        agrees(method.energy(images(1)), "E_pos")
        agrees(method.energy(images(2)), "E_neg")


def test_direction(method: CLEL) -> None:
    with torch.no_grad():
        u = direction(method.network, method.network(images(1)))
    agrees(u[:, :8], "u_pos_first8")
    agrees(u.sum(1), "u_pos_sum")


def test_input_gradient(method: CLEL) -> None:
    gradient = Energy(method.energy).gradient(images(1))
    agrees(gradient.flatten(1).norm(dim=1), "grad_x_norm")
    agrees(gradient.flatten(1)[:, :4], "grad_x_first4")


@pytest.mark.parametrize("frozen", [False, True])
def test_chain(method: CLEL, frozen: bool) -> None:
    network = FrozenView(method.network, torch.float64).refresh() if frozen else method.network
    config = LangevinConfig(steps=2, step_size=0.01, noise=0.0)
    x = langevin(Energy(lambda x: norm_energy(network(x))), images(1), config, torch.Generator())
    agrees(x.mean((1, 2, 3)), "chain_mean")
    agrees(x.flatten(1)[:, :4], "chain_first4")


def test_training_step(method: CLEL) -> None:
    """CLEL's own training step: the EBM's loss, its gradient in each weight, and the encoder's loss."""
    method.train()
    losses = method.training_step(images(1), torch.Generator())
    agrees(losses["loss"] - losses["contrastive"], "ebm_loss")
    agrees(losses["contrastive"], "nt_xent_with_negatives")
    agrees(losses["energy_positive"], float(np.mean(EXPECTED["E_pos"])))
    agrees(losses["energy_negative"], float(np.mean(EXPECTED["E_neg"])))
    method.zero_grad()
    losses["loss"].backward()
    gradients = {name: p.grad for name, p in method.network.named_parameters()}
    assert gradients.keys() == {own_name(name) for name in EXPECTED["ebm_loss_grad_norms"]}
    for name, norm in EXPECTED["ebm_loss_grad_norms"].items():
        gradient = gradients[own_name(name)]
        assert gradient is not None
        agrees(gradient.norm(), norm)


def test_contrastive_loss() -> None:
    first, second = signed((2 * N, D), 3002).split(N)
    agrees(nt_xent(first, second, 0.2), "nt_xent")


def test_ood_score(method: CLEL) -> None:
    class GuidanceEncoder(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return signed((N, D), 3001)

    encoder, method.encoder = method.encoder, GuidanceEncoder()  # type: ignore[assignment]
    try:
        with torch.no_grad():
            agrees(method.ood_score(images(1)), "ood_score_beta_0_1")
    finally:
        method.encoder = encoder
