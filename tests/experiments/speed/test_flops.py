"""Counted operations against hand counts, and the fit of an exponent."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch import nn

from baselines import METHODS
from clel.chains.energy import Energy
from clel.runs.config import resolve, with_engine
from experiments.speed.flops import FlopCount
from experiments.speed.profiles import DIGITS
from experiments.speed.rows import with_batch
from experiments.speed.scaling import exponent
from experiments.speed.work import PLAIN_ENGINE, Work, countable

N, C, D, SIDE = 3, 2, 5, 6


def test_a_linear_layer() -> None:
    layer, x = nn.Linear(7, 4), torch.randn(N, 7)
    once = 2 * N * 7 * 4
    with FlopCount() as count, torch.no_grad():
        layer(x)
    assert count.total == once
    with FlopCount() as count:
        layer(x).sum().backward()  # of the weights alone: the input has no gradient
    assert count.total == 2 * once
    with FlopCount() as count:
        layer(x.requires_grad_()).sum().backward()
    assert count.total == 3 * once


def test_a_convolution_and_its_backward() -> None:
    layer, x = nn.Conv2d(C, D, 3, padding=1), torch.randn(N, C, SIDE, SIDE)
    once = 2 * N * SIDE**2 * C * D * 9
    with FlopCount() as count, torch.no_grad():
        layer(x)
    assert count.total == once
    with FlopCount() as count:
        layer(x.requires_grad_()).sum().backward()
    assert count.total == 3 * once


def test_the_slope_of_a_chain_has_no_gradient_of_weights() -> None:
    """torch.autograd.grad, which torch's own counter does not survive; a frozen network's backward is half as dear."""
    layer = nn.Conv2d(C, D, 3, padding=1).requires_grad_(False)
    with FlopCount() as count:
        Energy(lambda x: layer(x).square().sum((1, 2, 3))).gradient(torch.randn(N, C, SIDE, SIDE))
    assert count.total == 2 * (2 * N * SIDE**2 * C * D * 9)


def test_operations_of_an_iteration_grow_by_those_of_a_step() -> None:
    """The same for each step: a forward and a backward to the images, on the chains alone."""
    run = with_engine(resolve(METHODS, "plain", "quick", device="cpu"), PLAIN_ENGINE)
    counts = []
    for steps in (1, 2, 4):
        work = Work(run, DIGITS, 0, torch.device("cpu"), steps)
        with FlopCount() as count:
            work.iteration()
        counts.append(count.total)
    step = counts[1] - counts[0]
    assert counts[2] - counts[1] == 2 * step
    with FlopCount() as forward, torch.no_grad():
        work.method.energy(torch.rand(64, *DIGITS.shape))
    assert step == pytest.approx(2 * forward.total, rel=0.05)
    # positives and negatives, forward, and backward to the weights and to inner images
    assert counts[0] - step == pytest.approx(6 * forward.total, rel=0.1)


def test_a_pass_that_an_engine_leaves_out_is_not_counted() -> None:
    """`fast` guides x+ by its first contrastive view: one forward of the encoder on a batch less than `exact`."""
    run = resolve(METHODS, "clel", "quick", device="cpu")
    run = replace(run, config=with_batch(run.config, 4))
    counts = {}
    for engine in ("fast", "exact", PLAIN_ENGINE):
        counted, methods = countable(with_engine(run, engine))
        work = Work(counted, DIGITS, 0, torch.device("cpu"), 1, methods)
        with FlopCount() as count:
            work.iteration()
        counts[engine] = count.total
    with FlopCount() as encoder, torch.no_grad():
        work.method.encoder(torch.rand(4, *DIGITS.shape))
    assert encoder.total > 0 and counts["exact"] == counts[PLAIN_ENGINE] == counts["fast"] + encoder.total
    # a method without switches is counted as it is
    other = resolve(METHODS, "vae", "quick", device="cpu")
    assert countable(other) == (other, METHODS)


def test_exponent_of_a_power_law() -> None:
    x = [8.0, 16.0, 32.0, 64.0]
    fit = exponent(x, [3 * v**1.5 for v in x])
    assert fit is not None and fit.error is not None
    assert fit.p == pytest.approx(1.5) and fit.error == pytest.approx(0, abs=1e-9) and fit.n == 4
    # against numpy's covariance of a fit: y = x with noise of known sign
    rough = exponent([1.0, math.e, math.e**2], [1.0, math.e * math.exp(0.3), math.e**2])
    assert rough is not None and rough.error is not None
    assert rough.p == pytest.approx(1.0) and rough.error == pytest.approx(math.sqrt(0.06 / 2))
    assert exponent([4.0, 4.0], [1.0, 2.0]) is None
    assert exponent([4.0, 8.0], [0.0, 2.0]) is None
    two = exponent([4.0, 8.0], [1.0, 4.0])
    assert two is not None and two.p == pytest.approx(2) and two.error is None
