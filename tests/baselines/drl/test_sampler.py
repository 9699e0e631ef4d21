"""Sampling of DRL: moments with Gaussian energies against the closed form, and the steps that each level takes."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from baselines.drl.config import DRLChain
from baselines.drl.drl import DRL
from tests.baselines.drl.test_drl import build, seed


def gaussian(method: DRL, mean: float, variance: float) -> Callable[[Tensor, Tensor], Tensor]:
    """The F whose marginals are those of independent Gaussian pixels, diffused: s^2 log N(y; scale abar mean, V)."""
    v = method.levels

    def network(y: Tensor, t: Tensor) -> Tensor:
        centre = (v.scale * v.abar * mean)[t].view(-1, 1, 1, 1)
        spread = (v.scale.square() * (v.abar.square() * variance + v.sbar.square()))[t]
        return -v.step[t].square() * (y - centre).square().sum((1, 2, 3)) / (2 * spread)

    return network


def closed_form(method: DRL, mean: float, variance: float, steps: int, noise: float) -> tuple[float, float]:
    """Mean and variance of a sampled pixel: every step is affine, so the moments of (x_{t+1}, y) follow exactly."""
    v = {name: getattr(method.levels, name).double().tolist() for name in dict(method.levels.named_buffers())}
    m, var = 0.0, 1.0
    for k in reversed(range(6)):
        spread = v["scale"][k] ** 2 * (v["abar"][k] ** 2 * variance + v["sbar"][k] ** 2)
        pull = v["pull"][k] / v["sigma"][k] ** 2
        half = v["step"][k] ** 2 / 2
        keep = 1 - half * (1 / spread + pull)
        mean_y, cov, var_y = m, var, var
        for _ in range(steps):
            var_y = keep**2 * var_y + 2 * keep * half * pull * cov + (half * pull) ** 2 * var + 2 * half * noise**2
            cov = keep * cov + half * pull * var
            mean_y = keep * mean_y + half * (v["scale"][k] * v["abar"][k] * mean / spread + pull * m)
        m, var = mean_y / v["scale"][k], var_y / v["scale"][k] ** 2
    return m, var


@pytest.mark.parametrize("steps", [0, 1, 30])
def test_sampler_with_gaussian_energies(steps: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Short chains: samples of 64 pixels have the moments that the affine recursion gives."""
    method = build(langevin=DRLChain(steps=steps, step_variance=2e-5))
    monkeypatch.setattr(method, "frozen", lambda: gaussian(method, 0.2, 0.0025))
    monkeypatch.setattr(Tensor, "clamp", lambda x, *limits: x)
    x = 2 * method.sample(100, seed(0)) - 1
    mean, variance = closed_form(method, 0.2, 0.0025, steps, 0.99)
    assert float(x.mean()) == pytest.approx(mean, abs=5 * math.sqrt(variance / 6400))
    assert float(x.var()) == pytest.approx(variance, rel=5 * math.sqrt(2 / 6400))


def test_long_chains_recover_the_data(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the true marginals and chains long enough, the last level's samples are the data again (with its noise)."""
    method = build(langevin=DRLChain(steps=1200, step_variance=1.5e-3, sample_noise=1.0))
    mean, variance = closed_form(method, 0.2, 0.0225, 1200, 1.0)
    assert mean == pytest.approx(0.2, abs=0.01) and variance == pytest.approx(0.0225, rel=0.05)
    monkeypatch.setattr(method, "frozen", lambda: gaussian(method, 0.2, 0.0225))
    x = 2 * method.sample(60, seed(0)) - 1
    assert float(x.mean()) == pytest.approx(0.2, abs=0.02)
    assert float(x.std()) == pytest.approx(0.15, rel=0.06)


@pytest.mark.parametrize(("steps", "parts"), [(None, [3] * 6), (18, [3] * 6), (8, [1, 1, 2, 1, 1, 2]), (0, [0] * 6)])
def test_steps_of_sampling(steps: int | None, parts: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    """`steps` is the total over the levels; without it each level takes as many as in training."""
    method, taken = build().eval(), {}
    chain = method.chain

    def spy(network: object, x: Tensor, t: Tensor, steps: int, noise: float, generator: torch.Generator) -> Tensor:
        assert noise == 0.99 and len(t.unique()) == 1
        taken[int(t[0])] = steps
        return chain(network, x, t, steps, noise, generator)  # type: ignore[arg-type]

    monkeypatch.setattr(method, "chain", spy)
    x = method.sample(2, seed(0), steps)
    assert [taken[k] for k in range(6)] == parts and list(taken) == [5, 4, 3, 2, 1, 0]
    assert x.shape == (2, 1, 8, 8) and 0 <= float(x.min()) and float(x.max()) <= 1
