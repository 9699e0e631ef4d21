"""DRL: conditional energies, chains, loss and sampler against formulas written again, and Gaussians in closed form."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from baselines.drl.config import DRLChain, DRLConfig, half_life
from baselines.drl.drl import DRL
from baselines.drl.network import DRLNetworkConfig
from clel.config import ConfigError
from clel.data import ImageSpec
from clel.training.average import Average

GREY8 = ImageSpec(1, 8, (0.3,), (0.35,))
SMALL = DRLConfig(
    batch_size=5,
    network=DRLNetworkConfig(width=4, multipliers=(1, 2), blocks=1),
    langevin=DRLChain(steps=3),
    flip=False,
)


def build(**changes: object) -> DRL:
    torch.manual_seed(0)
    method = DRL(replace(SMALL, **changes), GREY8)  # type: ignore[arg-type]
    with torch.no_grad():
        for name, p in method.network.named_parameters():
            if "conv2.parametrizations" in name:
                p.normal_()
    return method.train()


def seed(number: int) -> torch.Generator:
    return torch.Generator().manual_seed(number)


def images(n: int = 5) -> Tensor:
    return torch.rand(n, *GREY8.shape, generator=seed(1))


def test_published_settings() -> None:
    c, recipes = DRLConfig(), DRL.recipes()
    assert recipes["paper"].config == c
    assert (c.levels, c.batch_size, c.lr, c.betas, c.warmup, c.flip) == (6, 256, 1e-4, (0.9, 0.999), 1000, True)
    assert c.langevin == DRLChain(steps=30, step_variance=2e-4, noise=1.0, sample_noise=0.99)
    assert c.network == DRLNetworkConfig(width=128, multipliers=(1, 2, 2, 2), blocks=8, slope=0.2)
    assert recipes["paper-n2"].config == replace(c, network=replace(c.network, blocks=2))
    assert (recipes["paper"].published, recipes["paper-n2"].published) == ("drl-n8", "drl-n2")
    assert recipes["paper"].evaluate.steps == 180
    average = Average(torch.nn.Linear(1, 1), recipes["paper"].train.ema_half_life)
    assert average.decay(256, 10**9) == pytest.approx(0.999, rel=1e-12)
    assert half_life(0.5, 7) == pytest.approx(7)


def test_learning_rate_rises_stays_and_falls() -> None:
    method = build(warmup=5, cooldown=0.4, lr=2.0)
    ((optimiser, schedule),) = method.optimisers(100)
    rates = []
    for _ in range(100):
        rates.append(optimiser.param_groups[0]["lr"])
        optimiser.step()
        schedule.step()
    assert rates[:5] == pytest.approx([0.4, 0.8, 1.2, 1.6, 2.0])
    assert rates[5:61] == pytest.approx([2.0] * 56)
    assert rates[80] == pytest.approx(1.0) and rates[99] == pytest.approx(0.05)


@pytest.mark.parametrize("level", range(6))
def test_gradient_of_the_conditional(level: int) -> None:
    """autograd of log p = F / s^2 - |y - x|^2 / (2 sigma^2), the quadratic term absent at the noisiest level."""
    method = build().double().eval()
    sigma = (0.32368, 0.5165, 0.63221, 0.71324, 0.77337, 0.99974)[level]
    sbar = (0.01, 0.32382, 0.58622, 0.77845, 0.89801, 0.96031)[level]
    observed, y = (torch.randn(4, *GREY8.shape, dtype=torch.float64) for _ in range(2))
    t = torch.full((4,), level)

    def log_p(y: Tensor) -> Tensor:
        square = sum((y[:, :, i, j] - observed[:, :, i, j]) ** 2 for i in range(8) for j in range(8))
        quadratic = square.sum() / (2 * sigma**2) if level < 5 else 0.0  # type: ignore[union-attr]
        return method.network(y, t).sum() / (2e-4 * sbar / 0.01 * sigma**2) - quadratic

    energy = method.conditional_energy(method.network, observed, t)
    expected = torch.autograd.functional.jacobian(log_p, y)
    gradient = torch.autograd.functional.jacobian(lambda y: energy(y).sum(), y)
    torch.testing.assert_close(-gradient, expected, rtol=2e-3, atol=2e-3 * float(expected.abs().max()))


def test_one_level_by_hand() -> None:
    """y <- y - 1/2 s^2 dE/dy + 0.7 s n from y = x_{t+1}, images of different levels side by side, nothing clipped."""
    method = build().double().eval()
    t = torch.tensor([0, 5, 3, 1])
    observed = 3 * torch.randn(4, *GREY8.shape, dtype=torch.float64)
    kept = observed.clone()
    found = method.chain(method.network, observed, t, 3, 0.7, seed(3))
    assert torch.equal(observed, kept) and float(found.abs().max()) > 1
    generator, y = seed(3), observed.numpy().copy()
    v = {name: getattr(method.levels, name).numpy()[t][:, None, None, None] for name in ("step", "sigma", "pull")}
    for _ in range(3):
        x = torch.tensor(y, requires_grad=True)
        (slope,) = torch.autograd.grad(method.network(x, t).sum(), x)
        noise = torch.empty(y.shape, dtype=torch.float64).normal_(generator=generator).numpy()
        drift = slope.numpy() / v["step"] ** 2 - v["pull"] * (y - observed.numpy()) / v["sigma"] ** 2
        y = y + 0.5 * v["step"] ** 2 * drift + 0.7 * v["step"] * noise
    np.testing.assert_allclose(found.numpy(), y, rtol=1e-9, atol=1e-12)


def test_training_step_by_hand() -> None:
    """The weighted loss of y+ = a x_t and of the chain's y-, image by image; noises drawn in the documented order."""
    method = build().eval()  # evaluation mode: no power iteration, so that each forward is the same function
    losses = method.training_step(images(), seed(2))
    generator, v = seed(2), method.levels
    t = torch.randint(6, (5,), generator=generator)
    n1, n2 = (torch.empty(5, 1, 8, 8).normal_(generator=generator) for _ in range(2))
    total, plus, minus = 0.0, 0.0, 0.0
    clean, observed = torch.empty_like(n1), torch.empty_like(n1)
    for i, k in enumerate(t.tolist()):
        clean[i] = v.abar[k] * (2 * images()[i] - 1) + v.sbar[k] * n1[i]
        observed[i] = v.a[k] * clean[i] + v.sigma[k] * n2[i]
    negatives = method.chain(method.network, observed, t, 3, 1.0, generator)
    with torch.no_grad():
        for i, k in enumerate(t.tolist()):
            y = clean[i] if k == 5 else v.a[k] * clean[i]
            positive, negative = (float(method.network(z[None], t[i : i + 1])) for z in (y, negatives[i]))
            total += float(v.sigma[0] / v.sigma[k]) * (negative - positive) / 5
            plus, minus = plus - positive / 5, minus - negative / 5
    assert float(losses["loss"].detach()) == pytest.approx(total, rel=1e-3, abs=1e-5)
    assert float(losses["energy_positive"]) == pytest.approx(plus, rel=1e-4)
    assert float(losses["energy_negative"]) == pytest.approx(minus, rel=1e-4)
    losses["loss"].backward()
    assert all(p.grad is not None for p in method.network.parameters())


def test_diffuse_moments() -> None:
    """x_t and x_{t+1} of a constant image have the means and variances of the closed form, level by level."""
    method, n = build(), 4000
    for k in range(6):
        t = torch.full((n,), k)
        clean, observed = method.diffuse(torch.full((n, 1, 1, 1), 0.5), t, seed(k))
        v = {name: float(getattr(method.levels, name)[k]) for name in ("a", "sigma", "abar", "sbar")}
        assert float(clean.mean()) == pytest.approx(0.5 * v["abar"], abs=5 * v["sbar"] / math.sqrt(n))
        assert float(clean.std()) == pytest.approx(v["sbar"], rel=0.06)
        assert float((observed - v["a"] * clean).std()) == pytest.approx(v["sigma"], rel=0.06)


def test_flips_half_of_the_images() -> None:
    method, x = build(flip=True), images(400)
    y = method.data(x, seed(0))
    mirrored = torch.tensor([bool((y[i] == (2 * x[i] - 1).flip(2)).all()) for i in range(400)])
    kept = torch.tensor([bool((y[i] == 2 * x[i] - 1).all()) for i in range(400)])
    assert bool((mirrored ^ kept).all()) and 150 < int(mirrored.sum()) < 250
    assert torch.equal(build().data(x, seed(0)), 2 * x - 1)


def test_energy_is_that_of_the_least_noisy_level() -> None:
    """-F / s_0^2 at y = a_1 x_0, images from [-1, 1]; s_0^2 = 2e-4 sigma_1^2."""
    method = build().eval()
    with torch.no_grad():
        value = method.network(0.946165 * (2 * images() - 1), torch.zeros(5, dtype=torch.long)).double()
        energy = method.energy(images())
    np.testing.assert_allclose(energy, -value / (2e-4 * 0.32368**2), rtol=2e-3)


def test_no_persistent_state() -> None:
    method = build()
    assert method.chains() is None and method.gradient_evaluations_per_step == 3
    with pytest.raises(NotImplementedError, match="rounds"):
        method.continue_chains(images(), seed(0))


def test_bfloat16_chains_stay_close() -> None:
    exact, low = (build(engine=engine).eval().sample(4, seed(0)) for engine in ("float32", "bfloat16"))
    assert low.dtype == torch.float32
    assert float((low - exact).abs().mean()) < 0.02


@pytest.mark.parametrize("changes", [{"levels": 1}, {"levels": 252}, {"batch_size": 0}, {"lr": 0.0}])
def test_refused(changes: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        replace(SMALL, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize("changes", [{"steps": -1}, {"step_variance": 0.0}, {"noise": -1.0}])
def test_refused_chains(changes: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        replace(DRLChain(), **changes)  # type: ignore[arg-type]
