"""The network of DRL: published sizes, a forward pass in numpy loops, spectral norms, the start of a branch."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from baselines.drl.network import (
    DRLNetwork,
    DRLNetworkConfig,
    TimeBlock,
    TwoSidedCap,
    closed_convolution,
    sinusoids,
)
from clel.config import ConfigError
from clel.data import ImageSpec
from clel.networks.energy_network import parameter_count
from clel.networks.frozen import FrozenView

RGB8 = ImageSpec(3, 8, (0.5, 0.25, 0.75), (0.25, 0.5, 0.125))
CIFAR = ImageSpec(3, 32, (0.5,) * 3, (0.25,) * 3)
SMALL = DRLNetworkConfig(width=4, multipliers=(1, 2), blocks=2)


def network(seed: int = 0) -> DRLNetwork:
    """A small network in float64 whose branches do not vanish."""
    torch.manual_seed(seed)
    net = DRLNetwork(SMALL, RGB8).double()
    with torch.no_grad():
        for name, p in net.named_parameters():
            if "conv2" in name and "weight" in name:
                p.normal_()
            elif "bias" in name or name.endswith(".g"):
                p.uniform_(-1, 1)
    for _ in range(50):
        net(torch.zeros(1, 3, 8, 8).double(), torch.zeros(1, dtype=torch.long))
    return net.eval()


@pytest.mark.parametrize(("blocks", "count"), [(2, 9_056_256), (8, 34_833_408)])
def test_published_counts(blocks: int, count: int) -> None:
    """9.06 million parameters at N = 2 and 34.83 million at N = 8, of 32x32 colour images."""
    assert parameter_count(DRLNetwork(replace(DRLNetworkConfig(), blocks=blocks), CIFAR)) == count
    # layer by layer: weights and biases of stem, embedding, read-out, blocks; g is the scale, 128 -> 256 -> 256 -> 256
    dense = [(128, 512), (512, 512), (512, 256)]
    total = sum(i * o + o for i, o in dense) + 27 * 128 + 128
    inputs = 128
    for outputs in (128, 256, 256, 256):
        for _ in range(blocks):
            total += 9 * inputs * outputs + outputs + 9 * outputs**2 + 2 * outputs + 512 * outputs + outputs
            total += 9 * inputs * outputs + outputs if inputs != outputs else 0
            inputs = outputs
    assert total == count


def conv_loop(x: np.ndarray, conv: nn.Module) -> np.ndarray:
    """3x3 same-size convolution of [C, H, W], pixel by pixel."""
    weight, bias = conv.weight.detach().numpy(), conv.bias.detach().numpy()  # type: ignore[union-attr, operator]
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1)))
    y = np.empty((len(weight), *x.shape[1:]))
    for i in range(x.shape[1]):
        for j in range(x.shape[2]):
            y[:, i, j] = (weight * padded[None, :, i : i + 3, j : j + 3]).sum((1, 2, 3)) + bias
    return y


def leaky(x: np.ndarray) -> np.ndarray:
    return np.where(x > 0, x, 0.2 * x)


def affine(x: np.ndarray, layer: nn.Module) -> np.ndarray:
    return layer.weight.detach().numpy() @ x + layer.bias.detach().numpy()  # type: ignore[union-attr, operator]


def by_hand(net: DRLNetwork, image: np.ndarray, t: int) -> float:
    """At width 4 the sinusoids have the frequencies 1 and 1/10000: sin and sin, then cos and cos."""
    angles = np.array([t, t * 1e-4])
    e = affine(leaky(affine(np.concatenate([np.sin(angles), np.cos(angles)]), net.time1)), net.time2)
    h = conv_loop(image, net.stem)
    for number, stage in enumerate(net.stages):
        if number:
            c, height, width = h.shape
            h = h.reshape(c, height // 2, 2, width // 2, 2).mean((2, 4))
        for block in stage:  # type: ignore[attr-defined]
            y = conv_loop(leaky(h), block.conv1) + affine(leaky(e), block.time)[:, None, None]
            y = block.g.detach().numpy() * conv_loop(leaky(y), block.conv2)
            h = y + (h if isinstance(block.shortcut, nn.Identity) else conv_loop(h, block.shortcut))
    return float(np.maximum(h, 0).sum((1, 2)) @ affine(leaky(e), net.readout))


def test_forward_by_hand() -> None:
    net = network()
    y, t = torch.randn(4, 3, 8, 8, dtype=torch.float64), torch.tensor([0, 3, 5, 3])
    with torch.no_grad():
        values = net(y, t)
    expected = [by_hand(net, image, int(level)) for image, level in zip(y.numpy(), t, strict=True)]
    np.testing.assert_allclose(values, expected, rtol=1e-5)  # the sinusoids are float32


def test_depends_on_the_level() -> None:
    net = network()
    y = torch.randn(1, 3, 8, 8, dtype=torch.float64).expand(6, -1, -1, -1)
    with torch.no_grad():
        values = net(y, torch.arange(6))
    assert len(values.unique()) == 6


def test_sinusoids() -> None:
    e = sinusoids(torch.tensor([0, 2]), 8)
    frequencies = 10_000.0 ** -(np.arange(4) / 3)
    np.testing.assert_allclose(e[0], [0] * 4 + [1] * 4, atol=1e-7)
    np.testing.assert_allclose(e[1], np.concatenate([np.sin(2 * frequencies), np.cos(2 * frequencies)]), atol=1e-6)


def singular(weight: Tensor) -> float:
    return float(np.linalg.svd(weight.detach().flatten(1).numpy(), compute_uv=False)[0])


def test_spectral_norms() -> None:
    """Largest singular values are 1, at most 1 for second convolutions, and free for the last dense map."""
    net = network()
    with torch.no_grad():
        net.readout.weight.mul_(10)  # type: ignore[union-attr, operator]
    for name, layer in net.named_modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            largest = singular(layer.weight)
            if name == "readout":
                assert not parametrize.is_parametrized(layer) and largest > 1
            else:
                assert largest == pytest.approx(1, abs=2e-3), name


def test_spectral_cap() -> None:
    """A small weight is left alone, with gradient 1; a large one is divided by its largest singular value."""
    torch.manual_seed(0)
    weight = torch.randn(6, 2, 3, 3, dtype=torch.float64)
    cap = TwoSidedCap(weight).double()
    for _ in range(100):
        cap(weight)
    assert singular(cap(weight)) == pytest.approx(1, abs=1e-6)
    small = (0.5 * weight / singular(weight)).requires_grad_()
    capped = cap(small)
    assert torch.equal(capped, small)
    capped.sum().backward()
    assert torch.equal(small.grad, torch.ones_like(small))
    cap.eval()
    before = cap.u.clone()
    cap(torch.randn_like(weight))
    assert torch.equal(cap.u, before)


def test_two_forwards_before_a_backward() -> None:
    """The second forward moves the power iteration's vectors, which the first one's gradient must not notice."""
    net = network().train()
    y, t = torch.randn(2, 3, 8, 8, dtype=torch.float64), torch.tensor([0, 1])
    first = net(y, t).sum()
    (first + net(y, t).sum()).backward()
    assert all(p.grad is not None and bool(p.grad.isfinite().all()) for p in net.parameters())


def test_branches_start_near_zero() -> None:
    torch.manual_seed(0)
    block = TimeBlock(6, 6, 8, 0.2).eval()
    h, e = torch.randn(2, 6, 4, 4), torch.randn(2, 8)
    with torch.no_grad():
        torch.testing.assert_close(block(h, e), h, rtol=0, atol=1e-3)
        assert singular(block.conv2.weight) < 1e-4
    assert torch.equal(block.g, torch.ones(6, 1, 1))
    assert isinstance(closed_convolution(3, 5), nn.Conv2d)


def test_frozen_view_agrees() -> None:
    net = network()
    y, t = torch.randn(3, 3, 8, 8, dtype=torch.float64), torch.tensor([0, 5, 2])
    with torch.no_grad():
        torch.testing.assert_close(FrozenView(net, torch.float64).refresh()(y, t), net(y, t))
        low = FrozenView(net, torch.bfloat16).refresh()(y.bfloat16(), t)
    assert low.dtype == torch.float32
    torch.testing.assert_close(low, net(y, t).detach().float(), rtol=0.2, atol=1.0)


@pytest.mark.parametrize("changes", [{"width": 5}, {"width": 2}, {"multipliers": ()}, {"blocks": 0}])
def test_refused(changes: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        replace(SMALL, **changes)  # type: ignore[arg-type]


def test_image_too_small() -> None:
    with pytest.raises(ConfigError, match="8 pixels cannot be halved 4 times"):
        DRLNetwork(replace(SMALL, multipliers=(1,) * 5), RGB8)
