"""IGEBM: its network against a plain numpy computation, its shapes, its sampler's settings."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrize

from baselines.igebm import IGEBM, BiasedBlock, IGEBMConfig, IGEBMNetwork
from clel.chains.langevin import BufferConfig, LangevinConfig
from clel.config import ConfigError
from clel.data import ImageSpec

RGB8 = ImageSpec(3, 8, (0.5, 0.25, 0.75), (0.25, 0.5, 0.125))
SMALL = IGEBMConfig(
    engine="float32",
    widths=(3, 5),
    blocks=2,
    batch_size=4,
    buffer=BufferConfig(8, restart=0.05),
    langevin=LangevinConfig(3, step_size=10.0, noise=0.005, gradient_clip=0.01, noise_first=True),
)


def raw(conv: nn.Module) -> Tensor:
    """The kernel before its parametrization."""
    return conv.parametrizations.weight.original  # type: ignore[union-attr, return-value]


def conv_loop(x: np.ndarray, conv: nn.Module) -> np.ndarray:
    """3x3 same-size convolution of [C, H, W], pixel by pixel."""
    weight = conv.weight.detach().numpy()  # type: ignore[union-attr, operator]
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1)))
    y = np.empty((len(weight), *x.shape[1:]))
    for i in range(x.shape[1]):
        for j in range(x.shape[2]):
            y[:, i, j] = (weight * padded[None, :, i : i + 3, j : j + 3]).sum((1, 2, 3))
    return y


def leaky(x: np.ndarray) -> np.ndarray:
    return np.where(x > 0, x, 0.2 * x)


def energy_by_hand(network: IGEBMNetwork, image: np.ndarray) -> float:
    """act(conv(x)) of the image as it is, then blocks act(pool(s conv(act(conv(x + a)) + b) + bypass(x)))."""
    x = leaky(conv_loop(image, network.body[0]))
    # the first block of each of the two stages halves the image
    for position, block in enumerate(network.body[2:]):
        assert isinstance(block, BiasedBlock)
        a, b = block.bias1.detach().numpy(), block.bias2.detach().numpy()
        y = conv_loop(leaky(conv_loop(x + a, block.conv1)) + b, block.conv2)
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
            assert isinstance(block, BiasedBlock)
            raw(block.conv2).normal_(std=0.1)
            block.scale.uniform_(0.5, 1.5)
            block.bias1.uniform_(-0.5, 0.5)
            block.bias2.uniform_(-0.5, 0.5)
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


def test_published_parameters() -> None:
    """ResNet32Large: 3x3 kernels; inside a block a bias an input channel of both convolutions and a scale an output
    channel of the second; no bias in the stem and where the bypass is a convolution; a linear layer with a bias."""
    torch.manual_seed(0)
    method = IGEBM(IGEBM.recipe("paper").config, ImageSpec(3, 32, (0.5,) * 3, (0.25,) * 3))
    stages = [
        (128, 128),
        (128, 128),
        (128, 128),
        (128, 256),
        (256, 256),
        (256, 256),
        (256, 512),
        (512, 512),
        (512, 512),
    ]
    kernels = 9 * (3 * 128 + sum(i * o + o * o + (i * o if i != o else 0) for i, o in stages))
    biases, scales = sum(i + o for i, o in stages), sum(o for _, o in stages)
    assert sum(p.numel() for p in method.network.parameters()) == kernels + biases + scales + 512 + 1
    assert sum(p.numel() for n, p in method.network.named_parameters() if "bias" in n) == biases + 1
    assert all(m.bias is None for m in method.network.modules() if isinstance(m, nn.Conv2d))


def test_blocks_start_as_their_bypass() -> None:
    """conv2's kernel is near 0 and its scale 1; all biases are 0."""
    torch.manual_seed(0)
    block = BiasedBlock(SMALL, 8, 8, False).eval()
    x = torch.randn(2, 8, 6, 6)
    torch.testing.assert_close(block(x), F.leaky_relu(x, 0.2), rtol=0, atol=1e-6)
    assert 0 < float(raw(block.conv2).detach().std()) < 2e-10
    assert torch.equal(block.scale, torch.ones(8, 1, 1))
    assert not block.bias1.any() and not block.bias2.any()


def test_last_layer() -> None:
    """Uniform within sqrt(6 / (inputs + outputs)), bias 0."""
    torch.manual_seed(0)
    last = IGEBMNetwork(replace(SMALL, widths=(4, 400)), RGB8).last
    bound = (6 / 401) ** 0.5
    assert 0.95 * bound < float(last.weight.detach().abs().max()) <= bound
    assert not last.bias.any()


@pytest.mark.parametrize("std", [1.0, 0.05])
def test_how_far_adam_s_first_step_moves_a_kernel(std: float) -> None:
    """A raw weight by lr, so that a kernel from N(0, std^2) turns by an angle of about lr / std; spectral norm takes
    out what its size changes by."""
    lr = 3e-4
    torch.manual_seed(0)
    network = IGEBMNetwork(replace(SMALL, init_std=std, widths=(24, 32), dropout=0.0), RGB8).train()
    kernels = {n: m for n, m in network.named_modules() if isinstance(m, nn.Conv2d) and not n.endswith("conv2")}
    with torch.no_grad():
        for block in network.body[2:]:
            raw(block.conv2).normal_(std=0.05)  # type: ignore[union-attr, arg-type]
    before = {n: unit(raw(m)) for n, m in kernels.items()}
    adam = torch.optim.Adam(network.parameters(), lr=lr, betas=IGEBMConfig().betas)
    network(torch.rand(4, 3, 8, 8)).mean().backward()
    adam.step()
    assert len(kernels) == 1 + 4 + 1
    for name, conv in kernels.items():
        assert float((unit(raw(conv)) - before[name]).norm()) == pytest.approx(lr / std, rel=0.1), name


def unit(weight: Tensor) -> Tensor:
    return F.normalize(weight.detach().double().flatten(), dim=0)


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


@pytest.mark.parametrize("changes", [{"dropout": 1.0}, {"init_std": 0.0}, {"widths": ()}, {"blocks": 0}])
def test_refused(changes: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        replace(SMALL, **changes)  # type: ignore[arg-type]


def test_image_too_small() -> None:
    with pytest.raises(ConfigError, match="8 pixels cannot be halved 4 times"):
        IGEBM(replace(SMALL, widths=(4,) * 4), RGB8)
