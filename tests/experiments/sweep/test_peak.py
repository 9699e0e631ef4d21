"""The peak of tensors held at once, against sums made by hand, and its continuation to batches that were not run."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from baselines.vae.config import VAEConfig
from baselines.vae.network import VAENetworkConfig
from baselines.vae.vae import VAE
from clel.data import ImageSpec
from clel.networks.recompute import RecomputedStage, recompute
from clel.random import stream
from experiments.sweep.peak import Peak, extrapolated

CPU = torch.device("cpu")
N, FLOATS = 8, 500
UNIT = 4 * N * FLOATS
"""Bytes of one activation."""


class Exp(nn.Module):
    """Keeps its output for the backward pass."""

    def forward(self, x: Tensor) -> Tensor:
        return x.exp()


def measured(network: nn.Module, n: int = N) -> Peak:
    x = torch.zeros(n, FLOATS, requires_grad=True)
    with Peak(CPU) as peak:
        network(x).sum().backward()
    return peak


@pytest.mark.parametrize("depth", [1, 4])
def test_what_is_kept_and_the_gradients_that_pass_count(depth: int) -> None:
    """All outputs, then at the last layer its own gradient, that of its input and its sum's: depth + 1 and a scalar or
    two (the sum's gradient is one number, expanded)."""
    peak = measured(nn.Sequential(*(Exp() for _ in range(depth))))
    assert (depth + 1) * UNIT <= peak.bytes <= (depth + 1) * UNIT + 64


def test_what_there_was_before_and_what_is_freed_do_not_count() -> None:
    x = torch.ones(1000)
    with Peak(CPU) as peak:
        x.view(10, 100).add_(1)
        for _ in range(5):
            x * 2
        y = x.clone()
        y.mul_(2)
    assert peak.bytes == 4000 and peak.course[-1] == 4000


@pytest.mark.parametrize(("stages", "layers"), [(6, 2), (2, 6)])
def test_a_recomputed_segment_counts_while_it_is_there(stages: int, layers: int) -> None:
    """Kept: each stage's output, the last of which waits for its sum alone. On the way back, first, the last stage's
    outputs a second time, and the gradient of one of them; the earlier stages' are kept still."""
    network = nn.Sequential(*(RecomputedStage(*(Exp() for _ in range(layers))) for _ in range(stages)))
    recompute(network, True)
    first = (stages - 1) + layers + 1
    assert first * UNIT <= measured(network).bytes <= (first + 1) * UNIT + 64
    recompute(network, False)
    assert measured(network).bytes >= (stages * layers + 1) * UNIT


class Course(Peak):
    """A peak whose course is given."""

    def __init__(self, held: list[int]) -> None:
        super().__init__(CPU)
        self.given, self.bytes = held, max(held)

    @property
    def course(self) -> list[int]:
        return self.given


def test_the_peak_of_a_large_batch_may_lie_elsewhere() -> None:
    """100 + 10 n after one operation and 400 + n after another: 404 at n = 4, but 1,100 at n = 100, and not 500."""
    few, more = (Course([100 + 10 * n, 400 + n]) for n in (2, 4))
    assert (few.bytes, more.bytes) == (402, 404)
    assert extrapolated(few, more, (2, 4), 100) == 1100
    # other operations: nothing to go by but the peaks
    assert extrapolated(few, Course([404]), (2, 4), 100) == 404 + 96


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("again", [False, True])
def test_the_vae_s_peak_is_foretold_from_two_small_batches(precision: str, again: bool) -> None:
    """From 2 and 4 images to 24, within 1 %."""
    network = VAENetworkConfig(width=32, groups=(3,), latents=2, expansion=3)
    config = VAEConfig(network=network, precision=precision, recompute=again, batch_size=2)  # type: ignore[arg-type]

    def step(n: int) -> Peak:
        method = VAE.build(replace(config, batch_size=n), ImageSpec(1, 8, (0.5,), (0.5,)), 0).train()
        x = torch.rand(n, 1, 8, 8)
        with Peak(CPU) as peak:
            method.training_step(x, stream("cpu", 0))["loss"].backward()
        return peak

    wanted = step(24).bytes
    guess = extrapolated(step(2), step(4), (2, 4), 24)
    assert guess == pytest.approx(wanted, rel=0.01)
