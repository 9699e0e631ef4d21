"""VAEBM's energy network (2010.00654, appendix E): residual blocks with weight norm, initialised from data.

A convolution's weight is g v / |v| a channel. Data-dependent initialisation (Salimans & Kingma, NeurIPS 2016) sets g
and the bias, layer by layer, so that each channel of its output has mean 0 and standard deviation 1/5 over a batch.
Whether a layer had its initialisation is a buffer: a loaded network is never initialised again.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from baselines.spectral_penalty import convolutions, remember_singular_vectors
from baselines.vae.cells import conv
from clel.bounds import require_ranges
from clel.config import require
from clel.data import ImageSpec

INITIAL_STD = 0.2
"""Standard deviation of a channel after data-dependent initialisation. [authors' code]"""


@dataclass(frozen=True)
class EnergyConfig:
    """The energy network's size; the defaults are VAEBM's on CIFAR-10."""

    width: int = 128
    """Channels of the stem. [authors' code: 128]"""
    blocks: tuple[int, ...] = (1, 1, 2, 2, 2, 2)
    """Channels of each residual block, in widths. [authors' code]"""
    halved: tuple[int, ...] = (0, 2, 4)
    """Numbers of the blocks that end by halving the image. [authors' code]"""

    def __post_init__(self) -> None:
        require_ranges(self)
        known = set(range(len(self.blocks)))
        require(set(self.halved) <= known, f"halved is {self.halved}; expected numbers of blocks, {sorted(known)}")


def lipschitz_swish(x: Tensor) -> Tensor:
    """x sigmoid(x) / 1.1: swish with slope at most 1 (Chen et al., NeurIPS 2019)."""
    return F.silu(x) / 1.1


def energy_conv(inputs: int, outputs: int, kernel: int, bias: bool = True) -> nn.Conv2d:
    """A weight-normalised convolution with the buffer `initialised`."""
    layer = conv(inputs, outputs, kernel, bias=bias)
    layer.register_buffer("initialised", torch.tensor(False))
    return layer


class EnergyBlock(nn.Module):
    """act(pool(conv(act(conv(x))) + skip(x))); skip is a 1x1 convolution where the width or the size changes."""

    def __init__(self, inputs: int, outputs: int, halve: bool) -> None:
        super().__init__()
        self.halve = halve
        self.conv1 = energy_conv(inputs, outputs, 3)
        self.conv2 = energy_conv(outputs, outputs, 3)
        plain = inputs == outputs and not halve
        self.skip = nn.Identity() if plain else energy_conv(inputs, outputs, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv2(lipschitz_swish(self.conv1(x))) + self.skip(x)
        return lipschitz_swish(F.avg_pool2d(y, 2) if self.halve else y)


class VAEBMEnergy(nn.Module):
    """E: images [N, C, H, W] in [0, 1], not normalised -> [N]: stem, blocks, sum over space, linear.

    Raises:
        ConfigError: the image cannot be halved that often.
    """

    def __init__(self, config: EnergyConfig, spec: ImageSpec) -> None:
        super().__init__()
        times = len(config.halved)
        require(spec.size >> times >= 1, f"images of {spec.size} pixels cannot be halved {times} times (halved)")
        self.stem = energy_conv(spec.channels, config.width, 3)
        widths = [config.width, *(config.width * factor for factor in config.blocks)]
        pairs = pairwise(widths)
        self.blocks = nn.Sequential(
            *(EnergyBlock(a, b, number in config.halved) for number, (a, b) in enumerate(pairs))
        )
        self.last = nn.Linear(widths[-1], 1)
        remember_singular_vectors(self)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.blocks(lipschitz_swish(self.stem(x))).sum((2, 3))).flatten()


@torch.no_grad()
def initialise_from(network: nn.Module, images: Tensor) -> None:
    """Data-dependent initialisation of every convolution that has not had it, in one forward pass over the images."""

    def before(layer: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        if not bool(layer.initialised):
            _initialise(layer, inputs[0])  # type: ignore[arg-type]

    handles = [layer.register_forward_pre_hook(before) for layer in convolutions(network)]
    try:
        network(images)
    finally:
        for handle in handles:
            handle.remove()


def _initialise(layer: nn.Conv2d, x: Tensor) -> None:
    lengths = layer.parametrizations.weight.original0  # type: ignore[union-attr, index]
    y = F.conv2d(x, layer.weight, None, layer.stride, layer.padding)
    scale = INITIAL_STD / (y.std((0, 2, 3)) + 1e-6)
    lengths.mul_(scale.view(-1, 1, 1, 1))  # type: ignore[operator]
    if layer.bias is not None:
        layer.bias.copy_(-y.mean((0, 2, 3)) * scale)
    layer.initialised.fill_(True)  # type: ignore[operator]
