"""The input gradient by hand against automatic differentiation of the live network in float64."""

from __future__ import annotations

from copy import deepcopy
from functools import cache
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from clel.chains import kernels
from clel.chains.energy import Energy
from clel.chains.gradient import NormGradient, norm_gradient
from clel.data import ImageSpec
from clel.methods.spherical_energy import norm_energy
from clel.networks.energy_network import EnergyNetwork, NetworkConfig
from clel.networks.frozen import FrozenView

SPEC = ImageSpec(3, 16, (0.5, 0.4, 0.3), (0.25, 0.2, 0.3))
CONFIGS = [
    NetworkConfig((8, 8, 16), 1, hidden=16, features=4),
    NetworkConfig((8, 16), 2, towers=2, hidden=16, features=4, slope=0.1),
    NetworkConfig((8,), 1, towers=3, hidden=16, features=4, spectral_norm=False),
]


def build(config: NetworkConfig, seed: int = 0, bias: float = 0.3) -> EnergyNetwork:
    """A network with energies of order 1, and with biases, which are 0 at first."""
    torch.manual_seed(seed)
    network = EnergyNetwork(config, SPEC)
    with torch.no_grad():
        for name, p in network.named_parameters():
            if name.startswith("head."):
                p.mul_(20)
            elif name.endswith("bias"):
                p.normal_(std=bias)
    return network.eval()


def images(n: int = 6) -> Tensor:
    """Smooth, as photographs are: neighbouring pixels agree."""
    coarse = torch.rand(n, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    return F.interpolate(coarse, size=16, mode="bicubic").clamp(0, 1)


def reference(network: EnergyNetwork, x: Tensor) -> Tensor:
    gradient = Energy(lambda y: norm_energy(network(y))).gradient(x.double())
    assert float(gradient.abs().max()) > 1e-6
    return gradient


def error(own: Tensor, expected: Tensor) -> tuple[float, float]:
    """(relative error, cosine) over the batch."""
    own = own.double()
    cosine = F.cosine_similarity(own.flatten(), expected.flatten(), dim=0)
    return float((own - expected).norm() / expected.norm()), float(cosine)


@pytest.mark.parametrize("config", CONFIGS)
def test_exact_in_float64(config: NetworkConfig) -> None:
    network = build(config).double()
    own = NormGradient(FrozenView(network, torch.float64).network, torch.float64, piece=4)(images().double())  # type: ignore[arg-type]
    assert error(own, reference(network, images()))[0] < 1e-12


@pytest.mark.parametrize("config", CONFIGS)
@pytest.mark.parametrize("fused", [True, False])
def test_float32(config: NetworkConfig, fused: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Relative error below 1e-5, with fused convolutions and with their parts."""
    monkeypatch.setattr(kernels, "fused_available", kernels.fused_available if fused else lambda _: False)
    network = build(config)
    own = NormGradient(FrozenView(network).network, torch.float32)(images())  # type: ignore[arg-type]
    assert own.dtype == torch.float32
    assert error(own, reference(network.double(), images()))[0] < 1e-5


@cache
def wide(seed: int) -> tuple[EnergyNetwork, Tensor]:
    """A network with the small network's widths, and its gradient at a batch of images."""
    network = build(NetworkConfig((64, 64, 128, 128), 1, hidden=256, features=64), seed, bias=0.0)
    return network, reference(deepcopy(network).double(), images(32))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("fused", [True, False])
def test_bfloat16(seed: int, fused: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cosine above 0.999 and relative error below 2 % over a batch of images, with the small network's widths.

    What is left is hardly rounding of the gradient, but activations whose sign rounding changes (docs/log/engine.md).
    """
    monkeypatch.setattr(kernels, "fused_available", kernels.fused_available if fused else lambda _: False)
    network, expected = wide(seed)
    own = NormGradient(FrozenView(network).network, torch.bfloat16)(images(32))  # type: ignore[arg-type]
    assert own.dtype == torch.float32
    relative, cosine = error(own, expected)
    assert relative < 0.02 and cosine > 0.999


def test_pieces_do_not_matter() -> None:
    view = FrozenView(build(CONFIGS[1])).network
    whole, parts = (NormGradient(view, torch.float32, piece)(images()) for piece in (6, 1))  # type: ignore[arg-type]
    torch.testing.assert_close(parts, whole, rtol=1e-4, atol=1e-7)


def test_refresh_takes_weights_over_in_place() -> None:
    network = build(CONFIGS[1])
    view = FrozenView(network)
    own = NormGradient(view.network, torch.float32)  # type: ignore[arg-type]
    before = own(images())
    places = [c.weight.data_ptr() for t in own.towers for c in t.convolutions()]
    with torch.no_grad():
        for p in network.parameters():
            p.add_(0.05)
    view.refresh()
    own.refresh()
    assert [c.weight.data_ptr() for t in own.towers for c in t.convolutions()] == places
    after = own(images())
    assert error(after, before.double())[0] > 0.01
    assert error(after, reference(network.double(), images()))[0] < 1e-5


def test_what_it_does_not_know() -> None:
    """Other networks, and images that do not halve evenly, are left to autograd."""
    network = EnergyNetwork(NetworkConfig((4, 4, 4, 4), 1, hidden=8, features=4), ImageSpec(1, 28, (0.5,), (0.5,)))
    assert norm_gradient(network, torch.float32, True, 28) is None
    assert norm_gradient(network, torch.float32, True, 32) is not None
    assert norm_gradient(nn.Linear(2, 2), torch.float32, True, 32) is None


def test_first_convolution_keeps_the_image_whole() -> None:
    """Split in two, image and weight lose next to nothing to the short format before the output is rounded once."""
    torch.manual_seed(0)
    layer = nn.Conv2d(3, 5, 3, padding=1)
    x = torch.rand(2, 3, 6, 6)
    expected = layer(x).detach()
    own = kernels.FirstConvolution(layer, torch.bfloat16)
    rounded = own(own.prepared(x)).float()
    assert float((rounded - expected).abs().max()) < 2**-8 * float(expected.abs().max())
    own = kernels.FirstConvolution(layer, torch.float32)
    whole = own(own.prepared(x))
    torch.testing.assert_close(whole, expected, rtol=1e-5, atol=1e-6)


def test_fused_convolutions_are_looked_for_by_number_format(monkeypatch: pytest.MonkeyPatch) -> None:
    """oneDNN refuses bfloat16 where the processor has no instructions for it, and not float32."""
    fused = kernels._fused

    def without_bfloat16(x: Tensor, *rest: Any) -> Tensor:
        if x.dtype == torch.bfloat16:
            raise RuntimeError("bf16 path needs the cpu support")
        return fused(x, *rest)

    monkeypatch.setattr(kernels, "_fused", without_bfloat16)
    kernels.fused_available.cache_clear()
    try:
        layer, x = nn.Conv2d(8, 8, 3, padding=1).requires_grad_(False), torch.rand(2, 8, 6, 6)
        own = [kernels.Convolution(layer, dtype) for dtype in (torch.float32, torch.bfloat16)]
        assert not own[1].fuses and not kernels.fused_available(torch.float64)
        expected = F.leaky_relu(layer(x), 0.2)
        torch.testing.assert_close(own[0](x, slope=0.2), expected, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(own[1](x.bfloat16(), slope=0.2).float(), expected, rtol=0.05, atol=0.02)
    finally:
        kernels.fused_available.cache_clear()


@pytest.mark.parametrize("config", CONFIGS)
def test_channels_of_zeros_change_nothing(config: NetworkConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a device wants whole multiples of channels, as CUDA does, for the convolutions of the image."""
    view = FrozenView(build(config)).network
    before = NormGradient(view, torch.bfloat16)(images())  # type: ignore[arg-type]
    monkeypatch.setitem(kernels.WHOLE_CHANNELS, "cpu", 8)
    filled = NormGradient(view, torch.bfloat16)  # type: ignore[arg-type]
    assert {tower.stages[0].stem.weight.shape[1] for tower in filled.towers} == {16}  # type: ignore[attr-defined]
    assert error(filled(images()), before.double())[0] < 1e-2
    whole = NormGradient(view, torch.float32)(images())  # type: ignore[arg-type]
    assert error(whole, reference(build(config).double(), images()))[0] < 1e-5


def test_pooled_convolution() -> None:
    """A 3x3 convolution and a 2x2 mean are one of 4x4 and stride 2; its transpose is its derivative."""
    torch.manual_seed(0)
    layer = nn.Conv2d(3, 5, 3, padding=1).double()
    own = kernels.Convolution(layer, torch.float64, pooled=True)
    x = torch.randn(2, 3, 6, 6, dtype=torch.float64, requires_grad=True)
    expected = F.avg_pool2d(layer(x), 2)
    torch.testing.assert_close(own(x), expected, rtol=1e-12, atol=1e-12)
    g = torch.randn_like(expected)
    (gradient,) = torch.autograd.grad(expected, x, g)
    torch.testing.assert_close(own.transposed(g), gradient, rtol=1e-12, atol=1e-12)
