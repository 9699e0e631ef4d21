"""IGEBM: its network against a plain numpy computation, its shapes, its sampler's settings."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils import parametrize

from baselines.igebm import IGEBM, Block, IGEBMConfig, IGEBMNetwork
from clel.config import ConfigError
from clel.data import ImageSpec
from clel.langevin import BufferConfig, LangevinConfig

RGB8 = ImageSpec(3, 8, (0.5, 0.25, 0.75), (0.25, 0.5, 0.125))
SMALL = IGEBMConfig(
    engine="float32",
    widths=(3, 5),
    blocks=2,
    batch_size=4,
    buffer=BufferConfig(8, restart=0.05),
    langevin=LangevinConfig(3, step_size=10.0, noise=0.005, gradient_clip=0.01, noise_first=True),
)


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


def energy_by_hand(network: IGEBMNetwork, image: np.ndarray) -> float:
    """act(conv(x)) of the image as it is, then blocks act(pool(s conv(act(conv(x))) + bypass(x)))."""
    x = leaky(conv_loop(image, network.body[0]))
    # the first block of each of the two stages halves the image
    for position, block in enumerate(network.body[2:]):
        assert isinstance(block, Block)
        y = conv_loop(leaky(conv_loop(x, block.conv1)), block.conv2)
        bypass = x if isinstance(block.bypass, nn.Identity) else conv_loop(x, block.bypass)
        x = block.scale.detach().numpy() * y + bypass
        if position % 2 == 0:
            c, h, w = x.shape
            x = x.reshape(c, h // 2, 2, w // 2, 2).mean((2, 4))
        x = leaky(x)
    summed = np.maximum(x, 0).sum((1, 2))
    return float(network.last.weight.detach().numpy()[0] @ summed + network.last.bias.detach().numpy()[0])


def test_energy_by_hand() -> None:
    torch.manual_seed(0)
    network = IGEBMNetwork(SMALL, RGB8).double().eval()
    with torch.no_grad():
        for block in network.body[2:]:
            block.scale.uniform_(0.5, 1.5)  # type: ignore[union-attr, operator]
    x = torch.rand(3, 3, 8, 8, dtype=torch.float64)
    with torch.no_grad():
        energy = network(x)
    assert energy.shape == (3,)
    np.testing.assert_allclose(energy, [energy_by_hand(network, image) for image in x.numpy()], rtol=1e-5)


def test_published_shapes() -> None:
    """ResNet32Large: 32 -> 16 -> 8 -> 4 pixels over nine blocks of 128, 256 and 512 channels."""
    cifar = ImageSpec(3, 32, (0.5,) * 3, (0.25,) * 3)
    torch.manual_seed(0)
    network = IGEBMNetwork(IGEBMConfig(), cifar).eval()
    shapes = []
    x = torch.rand(1, 3, 32, 32)
    with torch.no_grad():
        for layer in network.body:
            x = layer(x)
            shapes.append(tuple(x.shape[1:]))
    stages = [(128, 16, 16)] * 3 + [(256, 8, 8)] * 3 + [(512, 4, 4)] * 3
    assert shapes == [(128, 32, 32), (128, 32, 32), *stages]
    convolutions = [m for m in network.modules() if isinstance(m, nn.Conv2d)]
    assert len(convolutions) == 1 + 2 * 9 + 2  # stem, blocks, and a bypass where the width changes
    assert all(parametrize.is_parametrized(m) for m in convolutions)
    assert not parametrize.is_parametrized(network.last)


def test_branches_start_near_zero() -> None:
    """The learned scale begins at 0.1, so that a block begins close to act(x)."""
    torch.manual_seed(0)
    block = Block(8, 8, False, 0.2, 0.0).eval()
    x = torch.randn(2, 8, 6, 6)
    with torch.no_grad():
        branch, stem = block(x) - F.leaky_relu(x, 0.2), F.leaky_relu(x, 0.2)
    assert 0 < float(branch.norm()) < 0.12 * float(stem.norm())
    assert block.scale.shape == (8, 1, 1)


def build(**changes: object) -> IGEBM:
    torch.manual_seed(0)
    method = IGEBM(replace(SMALL, **changes), RGB8)  # type: ignore[arg-type]
    method.reset_chains(torch.Generator().manual_seed(0))
    return method.train()


def test_dropout_in_the_loss_but_not_in_the_chain() -> None:
    """Two forwards of the live network differ in training; the frozen view that chains run on does not."""
    method = build(dropout=0.5)
    x = torch.rand(4, 3, 8, 8)
    assert not torch.equal(method.energy(x), method.energy(x))
    energy = method.frozen_energy()
    assert torch.equal(energy(x), energy(x))
    method.eval()
    torch.testing.assert_close(method.frozen_energy()(x), method.energy(x).detach(), rtol=1e-5, atol=1e-5)


def test_training_step_by_hand() -> None:
    """mean(E+ - E-) + mean(E+^2 + E-^2), the negatives being the chains that are left in the buffer."""
    method = build(dropout=0.0)
    x = torch.rand(4, 3, 8, 8)
    before = method.buffer.chains.clone()
    losses = method.training_step(x, torch.Generator().manual_seed(1))
    changed = (method.buffer.chains != before).flatten(1).any(1)
    assert int(changed.sum()) == 4
    method.eval()
    with torch.no_grad():
        positive, negative = method.energy(x).double(), method.energy(method.buffer.chains[changed]).double()
    expected = float((positive - negative).mean() + (positive**2 + negative**2).mean())
    assert float(losses["loss"].detach()) == pytest.approx(expected, rel=1e-4)
    losses["loss"].backward()
    assert all(p.grad is not None for p in method.network.parameters())


def test_published_settings() -> None:
    c = IGEBMConfig()
    assert c.langevin == LangevinConfig(60, 10.0, 0.005, 0.01, True)
    assert (c.buffer.size, c.buffer.restart, c.alpha) == (10_000, 0.05, 1.0)
    assert (c.batch_size, c.lr, c.betas, c.warmup) == (128, 3e-4, (0.0, 0.999), 0)
    assert (c.widths, c.blocks, c.dropout, c.slope) == ((128, 256, 512), 3, 0.5, 0.2)


@pytest.mark.parametrize("changes", [{"dropout": 1.0}, {"widths": ()}, {"blocks": 0}])
def test_refused(changes: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        replace(SMALL, **changes)  # type: ignore[arg-type]


def test_image_too_small() -> None:
    with pytest.raises(ConfigError, match="8 pixels cannot be halved 4 times"):
        IGEBM(replace(SMALL, widths=(4,) * 4), RGB8)
