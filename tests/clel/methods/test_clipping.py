"""Gradients clamped by Adam's mean square, against the formula over several steps."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from baselines import METHODS
from clel.config import ConfigError
from clel.methods.clipping import clip_before_steps
from clel.methods.ebm import EBMConfig
from tests.clel.training.trainer_process import small_images

GRADIENTS = ([1.0, 0.05, 0, -2], [-1.0, 5, 0, 2], [9.0, -9, 0, 0.2], [0.3, -0.3, 4, -4], [0.3, -0.3, 40, -4])


@pytest.mark.parametrize(("times", "spare", "ahead"), [(3.0, 0.1, 1), (3.0, 0.1, 0), (3.0, 0.0, 0), (1.5, 0.0, 0)])
def test_what_is_left_of_gradients(times: float, spare: float, ahead: int) -> None:
    """g <- clamp(g, +-(k sqrt(v / (1 - beta^s)) + c)) with v of before step t, and Adam by hand with what is left."""
    lr, beta, eps = 0.01, 0.9, 1e-8
    p = nn.Parameter(torch.zeros(4))
    adam = torch.optim.Adam([p], lr=lr, betas=(0.0, beta))
    clip_before_steps(adam, times, spare, ahead)
    weights, v, met = np.zeros(4), np.zeros(4), 0
    for t, g in enumerate(GRADIENTS, start=1):
        p.grad = torch.tensor(g)
        s = t - 1 + ahead
        bound = times * np.sqrt(v / (1 - beta**s)) + spare if s else np.full(4, np.inf)
        if spare == 0:
            bound[v == 0] = np.inf  # an element that never had a gradient has no sigma yet
        met += int((np.abs(g) > bound).sum())
        left = np.clip(g, -bound, bound)
        adam.step()
        np.testing.assert_allclose(p.grad, left, rtol=1e-5)
        v = beta * v + (1 - beta) * left**2
        weights -= lr * left / (np.sqrt(v / (1 - beta**t)) + eps)
        np.testing.assert_allclose(p.detach(), weights, rtol=1e-5, atol=1e-9)
    assert 2 < met < 18


def test_a_burst_is_one_step_of_so_many_rates_and_is_forgotten() -> None:
    """What the clamp is for: without it a gradient of 1,000 sigma keeps steps at a thirtieth for a thousand steps."""
    steps = {}
    for times in (0.0, 3.0):
        p = nn.Parameter(torch.zeros(1))
        adam = torch.optim.Adam([p], lr=1.0, betas=(0.0, 0.999))
        if times:
            clip_before_steps(adam, times)
        moved = []
        for t in range(120):
            before = p.item()
            p.grad = torch.tensor([1000.0 if t == 100 else 1.0])
            adam.step()
            moved.append(before - p.item())
        steps[times] = (moved[100], moved[-1])
    assert steps[0.0][0] > 9 and steps[0.0][1] < 0.05
    assert 2.5 < steps[3.0][0] <= 3.0 and steps[3.0][1] > 0.9


def gradients_left(method: Any) -> list[Tensor]:
    """What two steps, with gradients of 1 and of 100, leave of the second."""
    (optimiser, _), *_ = method.optimisers(10)
    weights = list(method.network.parameters())
    for g in (1.0, 100.0):
        for p in weights:
            p.grad = torch.full_like(p, g)
        optimiser.step()
    return [p.grad for p in weights]  # type: ignore[misc]


@pytest.mark.parametrize("name", ["clel", "plain", "igebm"])
@pytest.mark.parametrize(("sigmas", "left"), [(3.0, 3.0), (0.0, 100.0)])
def test_methods_with_chains_clamp_where_asked(name: str, sigmas: float, left: float) -> None:
    config = replace(METHODS[name].recipe("quick").config, clip_sigmas=sigmas)
    for gradient in gradients_left(METHODS[name].build(config, small_images().spec)):
        torch.testing.assert_close(gradient, torch.full_like(gradient, left), rtol=1e-4, atol=0)


def test_refused() -> None:
    with pytest.raises(ConfigError, match="clip_sigmas is -1"):
        EBMConfig(clip_sigmas=-1.0)
