"""Convolutions under spectral norm: the capped weight by its singular values, its gradient, its frozen view."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from baselines.spectral_cap import capped, normalised
from clel.networks.frozen import FrozenView
from clel.networks.pieces import InPieces
from clel.training.average import Average, refresh_parametrizations


def raw(conv: nn.Module) -> Tensor:
    return conv.parametrizations.weight.original  # type: ignore[union-attr, return-value]


def largest(weight: Tensor) -> float:
    """The largest singular value of the kernel as a matrix [out, rest]."""
    return float(np.linalg.svd(weight.detach().double().flatten(1).numpy(), compute_uv=False)[0])


def built(sigma: float, inputs: int = 4, outputs: int = 6) -> nn.Module:
    """A capped convolution whose raw kernel has the largest singular value sigma."""
    torch.manual_seed(0)
    conv = capped(inputs, outputs, 1.0).double()
    with torch.no_grad():
        raw(conv).mul_(sigma / largest(raw(conv)))
    refresh_parametrizations(conv, 300)
    return conv.train()


@pytest.mark.parametrize("sigma", [1e-9, 0.3, 0.99, 1.01, 20.0])
def test_a_kernel_only_shrinks(sigma: float) -> None:
    conv = built(sigma)
    torch.testing.assert_close(conv.weight, raw(conv) / max(sigma, 1.0), rtol=1e-6, atol=0.0)
    assert largest(conv.weight) == pytest.approx(min(sigma, 1.0), rel=1e-6)


@pytest.mark.parametrize("sigma", [0.5, 3.0])
def test_the_gradient_is_that_of_the_singular_value(sigma: float) -> None:
    """By differences of W / max(sigma(W), 1), sigma from an SVD of its own."""
    conv = built(sigma, 2, 3).eval()
    weight, direction = raw(conv).detach().clone(), torch.randn(3, 2, 3, 3, dtype=torch.float64)
    (conv.weight * direction).sum().backward()
    gradient = raw(conv).grad
    assert gradient is not None
    for index in np.ndindex(3, 2, 1, 2):
        values = []
        for step in (1e-5, -1e-5):
            moved = weight.clone()
            moved[index] += step
            values.append(float((moved / max(largest(moved), 1.0) * direction).sum()))
        assert float(gradient[index]) == pytest.approx((values[0] - values[1]) / 2e-5, abs=1e-7)


def test_one_power_iteration_a_call_in_training_mode_alone() -> None:
    conv = built(5.0)
    with torch.no_grad():
        raw(conv).normal_()
    w, u = raw(conv).detach().flatten(1), conv.parametrizations.weight[0].u  # type: ignore[union-attr, index]
    before = u.clone()
    conv.eval()
    assert torch.equal(conv.weight, conv.weight) and torch.equal(u, before)
    torch.testing.assert_close(conv.weight.flatten(1), w / (w.T @ before).norm())
    conv.train()
    assert conv.weight is not None
    expected = w @ (w.T @ before)
    torch.testing.assert_close(u, expected / expected.norm())


def test_two_passes_before_the_gradient() -> None:
    """A pass that follows moves u in place, and not the gradient of the one before."""
    conv, twin = built(5.0), built(5.0)
    (first,) = torch.autograd.grad(conv.weight.square().sum(), raw(conv))
    weight = twin.weight
    assert twin.weight is not None
    (again,) = torch.autograd.grad(weight.square().sum(), raw(twin))
    assert torch.equal(first, again)


@pytest.mark.parametrize("sigma", [1e-9, 4.0])
def test_views_fold_it(sigma: float) -> None:
    """The frozen view has the capped weight as a plain one; so have pieces of a batch, and the averaged network."""
    network = nn.Sequential(normalised(3, 4, 1.0), capped(4, 4, 1.0)).double()
    with torch.no_grad():
        raw(network[1]).mul_(sigma / largest(raw(network[1])))
    refresh_parametrizations(network, 300)
    network.eval()
    x = torch.rand(4, 3, 5, 5, dtype=torch.float64)
    expected = network(x).detach()
    view = FrozenView(network, torch.float64)
    assert not any("parametrizations" in name for name, _ in view.network.named_parameters())
    torch.testing.assert_close(view.refresh()(x), expected)
    torch.testing.assert_close(InPieces(network, 2)(x), expected)
    average = Average(network, 0.0)
    kept = copy.deepcopy(network.state_dict())
    with torch.no_grad():
        for p in network.parameters():
            p.normal_()
    with average.swapped_in(network):
        torch.testing.assert_close(network(x), expected)
    assert all(torch.equal(kept[n], b) for n, b in network.named_buffers())


@pytest.mark.parametrize("build", [normalised, capped])
def test_raw_kernels(build: object) -> None:
    """N(0, std^2), whatever the fan-in; no bias."""
    torch.manual_seed(0)
    conv = build(32, 64, 0.5)  # type: ignore[operator]
    values = raw(conv).detach()
    n = 64 * 32 * 9
    assert values.numel() == n and conv.bias is None
    assert float(values.std()) == pytest.approx(0.5, rel=4 / (2 * n) ** 0.5)
    assert abs(float(values.mean())) < 4 * 0.5 / n**0.5
