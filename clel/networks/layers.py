"""What CLEL's networks are made of: normalised input, convolutions, linear layers, MLPs."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from clel.config import require
from clel.data.images import ImageSpec

Normalisation = Literal["data", "cifar10"]
"""Whose mean and std networks normalise by: the training split's, or CIFAR-10's whatever the images."""


def normalised_by(spec: ImageSpec, whose: Normalisation) -> ImageSpec:
    """The spec with the mean and std that networks are to normalise by; ConfigError where CIFAR-10's do not fit."""
    if whose == "data":
        return spec
    require(spec.channels == 3, f"normalisation is 'cifar10' for images of {spec.channels} channel(s); take 'data'")
    return replace(spec, mean=(0.4914, 0.4822, 0.4465), std=(0.2470, 0.2435, 0.2616))


class Normalise(nn.Module):
    """(x - mean) / std a channel, with the spec's statistics, for x in [0, 1]."""

    mean: Tensor
    std: Tensor

    def __init__(self, spec: ImageSpec) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(spec.mean).view(-1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(spec.std).view(-1, 1, 1), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        return (x - self.mean) / self.std


def convolution(inputs: int, outputs: int, kernel: int, norm: bool, bias: bool = True) -> nn.Module:
    """A stride-1 same-size convolution, Kaiming fan-in (gain 1) initialised, spectrally normalised if `norm`."""
    conv = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=bias)
    nn.init.kaiming_normal_(conv.weight, mode="fan_in", nonlinearity="linear")
    if conv.bias is not None:
        nn.init.zeros_(conv.bias)
    return spectral_norm(conv) if norm else conv


def linear(inputs: int, outputs: int, bias: bool = True, std: float = 0.01) -> nn.Linear:
    """A linear layer with weights N(0, std^2) and zero biases."""
    layer = nn.Linear(inputs, outputs, bias)
    nn.init.normal_(layer.weight, std=std)
    if bias:
        nn.init.zeros_(layer.bias)
    return layer


def mlp(inputs: int, hidden: int, outputs: int, slope: float, bias: bool = True) -> nn.Sequential:
    """linear -> leaky ReLU -> linear. Without biases it is positively homogeneous: g(c v) = c g(v) for c > 0."""
    return nn.Sequential(linear(inputs, hidden, bias), nn.LeakyReLU(slope), linear(hidden, outputs, bias))


def outside_autocast(module: nn.Module, x: Tensor) -> Tensor:
    """module(x), in float32 where autocast is on: heads are cheap, and what they say is an energy or a latent."""
    if not torch.is_autocast_enabled(x.device.type):
        return module(x)
    with torch.autocast(x.device.type, enabled=False):
        return module(x.float())


def parameter_count(module: nn.Module) -> int:
    """Number of scalars in the module's parameters."""
    return sum(math.prod(p.shape) for p in module.parameters())
