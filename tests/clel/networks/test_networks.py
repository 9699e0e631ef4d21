"""The networks against a plain numpy computation, the published parameter counts, and spectral normalisation."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils import parametrize

from clel.config import ConfigError
from clel.data import ImageSpec
from clel.methods.spherical_energy import direction, norm_energy
from clel.networks.encoder import Encoder, EncoderConfig
from clel.networks.energy_network import (
    NETWORKS,
    EnergyNetwork,
    NetworkConfig,
    Normalise,
    convolution,
    mlp,
    parameter_count,
)

CIFAR = ImageSpec(3, 32, (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616))
RGB8 = ImageSpec(3, 8, (0.5, 0.25, 0.75), (0.25, 0.5, 0.125))
GREY8 = ImageSpec(1, 8, (0.25,), (0.5,))

Weights = dict[str, np.ndarray]


def conv_loop(x: np.ndarray, weight: np.ndarray, bias: np.ndarray | None) -> np.ndarray:
    """Same-size cross-correlation of [C, H, W] with [O, C, k, k], pixel by pixel."""
    outputs, _, k, _ = weight.shape
    padded = np.pad(x, ((0, 0), (k // 2, k // 2), (k // 2, k // 2)))
    y = np.zeros((outputs, *x.shape[1:]))
    for i in range(x.shape[1]):
        for j in range(x.shape[2]):
            y[:, i, j] = (weight * padded[None, :, i : i + k, j : j + k]).sum((1, 2, 3))
    return y if bias is None else y + bias[:, None, None]


def leaky(x: np.ndarray, slope: float = 0.2) -> np.ndarray:
    return np.where(x > 0, x, slope * x)


def pool(x: np.ndarray, k: int = 2) -> np.ndarray:
    c, h, w = x.shape
    return x.reshape(c, h // k, k, w // k, k).mean((2, 4))


def features_by_hand(w: Weights, config: NetworkConfig, spec: ImageSpec, image: np.ndarray) -> np.ndarray:
    """f(x) of one image [C, H, W], from the weights by name."""
    mean, std = (np.array(v)[:, None, None] for v in (spec.mean, spec.std))
    pooled = []
    for t in range(config.towers):
        x = image if t == 0 else pool(image, 2**t)
        x = conv_loop((x - mean) / std, w[f"towers.{t}.stem.1.weight"], w[f"towers.{t}.stem.1.bias"])
        for s in range(len(config.widths)):
            if s > 0:
                x = pool(x)
            for b in range(config.blocks):
                name = f"towers.{t}.stages.{s}.{b + (s > 0)}"
                y = conv_loop(leaky(x), w[f"{name}.conv1.weight"], w[f"{name}.conv1.bias"])
                y = conv_loop(leaky(y), w[f"{name}.conv2.weight"], w[f"{name}.conv2.bias"])
                shortcut = w.get(f"{name}.shortcut.weight")
                x = (x if shortcut is None else conv_loop(x, shortcut, None)) + y
        pooled.append(leaky(x).mean((1, 2)))
    hidden = leaky(w["head.0.weight"] @ np.concatenate(pooled) + w["head.0.bias"])
    return w["head.2.weight"] @ hidden + w["head.2.bias"]


@pytest.mark.parametrize(("widths", "towers", "blocks"), [((3, 4), 1, 1), ((3, 4), 2, 2), ((3,), 4, 1)])
def test_forward_by_hand(widths: tuple[int, ...], towers: int, blocks: int) -> None:
    config = NetworkConfig(widths, blocks, towers, hidden=7, features=5, spectral_norm=False)
    torch.manual_seed(0)
    network = EnergyNetwork(config, RGB8).double()
    with torch.no_grad():
        for p in network.parameters():
            p.copy_(0.5 * torch.randn_like(p))
    x = torch.rand(3, 3, 8, 8, dtype=torch.float64)
    w = {name: p.detach().numpy() for name, p in network.named_parameters()}
    with torch.no_grad():
        f = network(x)
        u, energy = direction(network, f), norm_energy(f)
    for i in range(len(x)):
        by_hand = features_by_hand(w, config, RGB8, x[i].numpy())
        np.testing.assert_allclose(f[i], by_hand, rtol=1e-10, atol=1e-12)
        g = w["projection.2.weight"] @ leaky(w["projection.0.weight"] @ by_hand)
        np.testing.assert_allclose(u[i], g / np.sqrt((g * g).sum()), rtol=1e-10, atol=1e-12)
        assert float(energy[i]) == pytest.approx(0.5 * sum(v * v for v in by_hand), rel=1e-10)


def count(config: NetworkConfig) -> tuple[int, int]:
    """Parameters of the whole energy network on CIFAR-10, and of its projection alone."""
    with torch.device("meta"):
        network = EnergyNetwork(replace(config, spectral_norm=False), CIFAR)
    return parameter_count(network), parameter_count(network.projection)


@pytest.mark.parametrize(
    ("name", "parameters"),
    [("small", 1_725_056), ("base", 6_955_648), ("multiscale", 19_289_728), ("large", 30_706_816)],
)
def test_published_parameter_counts(name: str, parameters: int) -> None:
    assert count(NETWORKS[name]) == (parameters, 524_288)


def test_encoder_count() -> None:
    """12.48 million, as the authors' ResNet-18 with its MLP has (their linear before the batch norm has no bias)."""
    with torch.device("meta"):
        encoder = Encoder(EncoderConfig(), CIFAR)
    assert round(parameter_count(encoder) / 1e6, 2) == 12.48
    body = 11_176_512 - 64 * 3 * 49 + 64 * 3 * 9  # torchvision's ResNet-18 without its last layer, 3x3 stem
    assert parameter_count(encoder.backbone) == body


def test_spectral_norm_adds_no_parameter() -> None:
    config = NetworkConfig((4, 8), 1, hidden=8, features=4)
    plain = EnergyNetwork(replace(config, spectral_norm=False), GREY8)
    assert parameter_count(EnergyNetwork(config, GREY8)) == parameter_count(plain)


@pytest.mark.parametrize("kind", ["resnet18", "tiny"])
def test_encoder_shape(kind: str) -> None:
    encoder = Encoder(EncoderConfig(kind, width=4, hidden=8, features=6), GREY8)  # type: ignore[arg-type]
    assert encoder(torch.rand(2, 1, 8, 8)).shape == (2, 6)


def test_projection_ignores_length() -> None:
    """g has no bias: g(c f) = c g(f), so u depends on the direction of f alone."""
    network = EnergyNetwork(NetworkConfig((4,), 1, hidden=16, features=8), GREY8).double()
    f = torch.randn(5, 8, dtype=torch.float64)
    with torch.no_grad():
        torch.testing.assert_close(network.projection(7.5 * f), 7.5 * network.projection(f), rtol=1e-12, atol=0)
        torch.testing.assert_close(direction(network, 7.5 * f), direction(network, f), rtol=1e-12, atol=1e-14)
    assert not any(name.endswith("bias") for name, _ in network.projection.named_parameters())


def test_initialisation() -> None:
    """Linear N(0, 0.01^2); convolutions of gain 1 and fan-in; biases 0."""
    torch.manual_seed(0)
    conv = convolution(64, 64, 3, norm=False)
    assert isinstance(conv, nn.Conv2d) and conv.bias is not None
    assert float(conv.weight.detach().std()) == pytest.approx((64 * 9) ** -0.5, rel=0.02)
    assert float(conv.bias.detach().abs().max()) == 0
    first = mlp(128, 512, 8, 0.2)[0]
    assert isinstance(first, nn.Linear)
    assert float(first.weight.detach().std()) == pytest.approx(0.01, rel=0.02)
    assert float(first.bias.detach().abs().max()) == 0


def test_normalise() -> None:
    x = torch.rand(2, 3, 8, 8)
    y = Normalise(RGB8)(x)
    for c in range(3):
        torch.testing.assert_close(y[:, c], (x[:, c] - RGB8.mean[c]) / RGB8.std[c])


def test_spectral_norm_reaches_one() -> None:
    """After enough power iterations every convolution's (out, in k k) matrix has largest singular value 1."""
    torch.manual_seed(0)
    network = EnergyNetwork(NetworkConfig((8, 16), 1, hidden=8, features=4), RGB8).double()
    convolutions = [m for m in network.modules() if isinstance(m, nn.Conv2d)]
    assert len(convolutions) == 6
    assert all(parametrize.is_parametrized(m) for m in convolutions)
    with torch.no_grad():
        for m in convolutions:
            m.parametrizations.weight.original.mul_(3)  # type: ignore[union-attr, operator]
        network.train()
        for _ in range(300):
            weights = [m.weight for m in convolutions]
        for weight in weights:
            assert float(torch.linalg.matrix_norm(weight.flatten(1), 2)) == pytest.approx(1, abs=1e-3)


def test_linear_layers_are_free() -> None:
    network = EnergyNetwork(NetworkConfig((4,), 1, hidden=8, features=4), GREY8)
    layers = [m for m in network.modules() if isinstance(m, nn.Linear)]
    assert len(layers) == 4
    assert not any(parametrize.is_parametrized(m) for m in layers)


@pytest.mark.parametrize(("towers", "widths"), [(1, (4,) * 5), (3, (4, 4, 4)), (5, (4,))])
def test_image_too_small(towers: int, widths: tuple[int, ...]) -> None:
    with pytest.raises(ConfigError, match="8 pixels cannot be pooled 4 times"):
        EnergyNetwork(NetworkConfig(widths, 1, towers, 8, 4), GREY8)


@pytest.mark.parametrize("values", [{"widths": ()}, {"widths": (8, 0)}, {"blocks": 0}, {"towers": 0}, {"features": 1}])
def test_refused(values: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        NetworkConfig(**values)  # type: ignore[arg-type]
