"""The plain EBM: CLEL's network and chains, contrastive divergence alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from baselines.plain import PlainConfig, PlainEBM
from clel.chains.langevin import BufferConfig, LangevinConfig
from clel.data import ImageSpec
from clel.methods.clel import CLELConfig
from clel.methods.ebm import contrastive_divergence, cooldown_factor, warmup_factor
from clel.networks.energy_network import NetworkConfig, parameter_count

SPEC = ImageSpec(1, 8, (0.3,), (0.35,))
CIFAR = ImageSpec(3, 32, (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616))
CONFIG = PlainConfig(
    network=NetworkConfig((4, 8), 1, hidden=16, features=6),
    langevin=LangevinConfig(steps=3, step_size=1.0, noise=0.01),
    buffer=BufferConfig(20, restart=0.5),
    batch_size=5,
)


def build() -> PlainEBM:
    torch.manual_seed(0)
    method = PlainEBM(CONFIG, SPEC)
    method.reset_chains(torch.Generator().manual_seed(0))
    return method.train()


def images(n: int = 5) -> torch.Tensor:
    return torch.rand(n, *SPEC.shape, generator=torch.Generator().manual_seed(1))


def test_contrastive_divergence_by_hand() -> None:
    positive, negative = np.array([0.1, 0.5, -0.3]), np.array([1.0, 0.2, 0.6])
    losses = contrastive_divergence(torch.from_numpy(positive), torch.from_numpy(negative), alpha=0.4)
    total = 0.0
    for p, n in zip(positive, negative, strict=True):
        total += (p - n + 0.4 * (p * p + n * n)) / 3
    assert float(losses["divergence"]) == pytest.approx(total, rel=1e-12)
    assert float(losses["energy_positive"]) == pytest.approx(0.1)
    assert float(losses["energy_negative"]) == pytest.approx(0.6)


def test_contrastive_divergence_optimum() -> None:
    """With alpha 1 the loss of constant energies is least at E+ = -1/2, E- = 1/2."""
    energies = torch.linspace(-1, 1, 41, dtype=torch.float64)
    grid = torch.tensor(
        [[float(contrastive_divergence(p[None], n[None], 1.0)["divergence"]) for n in energies] for p in energies]
    )
    best = int(grid.argmin())
    assert (float(energies[best // 41]), float(energies[best % 41])) == pytest.approx((-0.5, 0.5))


def test_training_step() -> None:
    method = build()
    losses = method.training_step(images(), torch.Generator().manual_seed(2))
    assert losses.keys() == {"loss", "divergence", "energy_positive", "energy_negative"}
    assert torch.equal(losses["loss"], losses["divergence"])
    losses["loss"].backward()
    for name, p in method.network.named_parameters():
        assert (p.grad is None) == name.startswith("projection.")


def test_energy_is_half_the_squared_norm() -> None:
    method = build().eval()
    with torch.no_grad():
        f = method.network(images()).double().numpy()
        np.testing.assert_allclose(method.energy(images()), 0.5 * (f * f).sum(1), rtol=1e-5)


def test_a_step_descends() -> None:
    """A small step along the gradient lowers the loss for the same images and chains."""
    method = build().double()
    x, negatives = images().double(), images(6)[1:].double()

    def loss() -> torch.Tensor:
        positive, negative = method.energy(torch.cat([x, negatives])).split(5)
        return contrastive_divergence(positive, negative, 1.0)["divergence"]

    method.eval()
    before = loss()
    parameters = [p for n, p in method.network.named_parameters() if not n.startswith("projection.")]
    slopes = torch.autograd.grad(before, parameters)
    with torch.no_grad():
        for p, g in zip(parameters, slopes, strict=True):
            p.sub_(1e-4 * g)
    change, predicted = float((loss() - before).detach()), -1e-4 * sum(float(g.square().sum()) for g in slopes)
    assert change == pytest.approx(predicted, rel=1e-2)


def test_published_count() -> None:
    """Tables count the network with its projection, as the paper does: 6.96 million."""
    with torch.device("meta"):
        method = PlainEBM(PlainConfig(network=NetworkConfig(spectral_norm=False)), CIFAR)
    assert sum(parameter_count(m) for m in method.counted()) == 6_955_648
    without_projection = [p for name, p in method.network.named_parameters() if not name.startswith("projection.")]
    assert sum(p.numel() for p in without_projection) == 6_431_360


def test_shares_clels_settings() -> None:
    """Row one of the paper's Table 1b differs from CLEL in the encoder alone."""
    plain, clel = PlainConfig(), CLELConfig()
    for name in ("network", "batch_size", "alpha", "langevin", "buffer", "lr", "betas", "warmup"):
        assert getattr(plain, name) == getattr(clel, name)


def test_warm_up() -> None:
    factor = warmup_factor(2000)
    assert [factor(t) for t in (0, 999, 1999, 2000, 10**6)] == [1 / 2000, 0.5, 1, 1, 1]
    assert warmup_factor(0)(0) == 1


def test_cool_down() -> None:
    """1 for the first 75 of 100 iterations, then 25/25, 24/25, ..., 1/25; 0 would waste an iteration."""
    factor = cooldown_factor(0.25, 100)
    assert [factor(t) for t in range(76)] == [1.0] * 76
    assert [factor(t) for t in range(75, 100)] == pytest.approx([k / 25 for k in range(25, 0, -1)])
    assert factor(100) == factor(101) == 0
    assert {cooldown_factor(0.0, 100)(t) for t in range(200)} == {1.0}


def test_the_learning_rate_warms_up_and_cools_down() -> None:
    method = PlainEBM(replace(CONFIG, lr=2.0, warmup=4, cooldown=0.5), SPEC)
    ((optimiser, schedule),) = method.optimisers(10)
    rates = []
    for _ in range(10):
        rates.append(optimiser.param_groups[0]["lr"])
        optimiser.step()
        schedule.step()
    assert rates == pytest.approx([0.5, 1.0, 1.5, 2, 2, 2, 1.6, 1.2, 0.8, 0.4])


def test_sample() -> None:
    method = build()
    first, second = (method.sample(3, torch.Generator().manual_seed(4)) for _ in range(2))
    assert first.shape == (3, 1, 8, 8) and 0 <= float(first.min()) and float(first.max()) <= 1
    noise = method.sample(3, torch.Generator().manual_seed(4), steps=0)
    assert torch.equal(noise, torch.rand(3, 1, 8, 8, generator=torch.Generator().manual_seed(4)))
    assert not torch.equal(first, noise)
    method.eval()
    first, second = (method.sample(3, torch.Generator().manual_seed(4)) for _ in range(2))
    assert torch.equal(first, second)
