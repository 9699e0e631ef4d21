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
from clel.methods.clipping import clip_before_steps, clip_by_mean_square
from clel.methods.ebm import EBMConfig
from tests.clel.training.trainer_process import small_images

GRADIENTS = ([1.0, 0.05, 0, -2], [-1.0, 5, 0, 2], [9.0, -9, 0, 0.2], [0.3, -0.3, 4, -4], [0.3, -0.3, 40, -4])
SPARE = 0.1


def test_the_step_about_to_be_taken_counts() -> None:
    """IGEBM: g <- clamp(g, +-(3 sqrt(v / (1 - beta^t)) + 0.1)) with v of before step t, and Adam by hand with what is
    left."""
    lr, beta, eps = 0.01, 0.9, 1e-8
    p = nn.Parameter(torch.zeros(4))
    adam = torch.optim.Adam([p], lr=lr, betas=(0.0, beta))
    clip_before_steps(adam, spare=SPARE, ahead=1)
    weights, v, bound_met = np.zeros(4), np.zeros(4), 0
    for t, g in enumerate(([1.0, 0.05, 0, -2], [-1.0, 5, 0.05, 2], [9.0, -9, 9, 0.2], [0.3, -0.3, 4, -4]), start=1):
        p.grad = torch.tensor(g)
        bound = 3 * np.sqrt(v / (1 - beta**t)) + 0.1
        bound_met += int((np.abs(g) > bound).sum())
        clamped = np.clip(g, -bound, bound)
        adam.step()
        v = beta * v + (1 - beta) * clamped**2
        weights -= lr * clamped / (np.sqrt(v / (1 - beta**t)) + eps)
        np.testing.assert_allclose(p.detach(), weights, rtol=1e-5, atol=1e-9)
    assert 4 < bound_met < 16


def test_the_step_about_to_be_taken_does_not_count() -> None:
    """VAEBM: the same with beta^(t - 1), and no clamp in the first step."""
    p = nn.Parameter(torch.zeros(4))
    adam = torch.optim.Adam([p], lr=0.0, betas=(0.9, 0.5))
    squares = np.zeros(4)
    for t, g in enumerate(([1.0, 0.1, 0, 2], [-1.0, 5, 0.05, 2], [9.0, -9, 9, 2])):
        p.grad = torch.tensor(g)
        expected = np.array(g)
        if t > 0:
            bound = 3 * np.sqrt(squares / (1 - 0.5**t)) + 0.1
            expected = np.clip(expected, -bound, bound)
        clip_by_mean_square(adam, spare=SPARE)
        np.testing.assert_allclose(p.grad, expected, rtol=1e-5)
        adam.step()
        squares = 0.5 * squares + 0.5 * expected**2


@pytest.mark.parametrize("times", [3.0, 1.5])
def test_without_spare_an_element_that_never_had_a_gradient_is_free(times: float) -> None:
    beta = 0.9
    p = nn.Parameter(torch.zeros(4))
    adam = torch.optim.Adam([p], lr=0.01, betas=(0.0, beta))
    clip_before_steps(adam, times)
    v, met = np.zeros(4), 0
    for t, g in enumerate(GRADIENTS):
        p.grad = torch.tensor(g)
        bound = times * np.sqrt(v / (1 - beta**t)) if t else np.zeros(4)
        bound[v == 0] = np.inf
        met += int((np.abs(g) > bound).sum())
        left = np.clip(g, -bound, bound)
        adam.step()
        np.testing.assert_allclose(p.grad, left, rtol=1e-5)
        v = beta * v + (1 - beta) * left**2
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
