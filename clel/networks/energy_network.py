"""The energy network f of CLEL (Table 2), residual towers and an MLP, and the projection g; and the layers that it and
other networks of this room are made of."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from clel.bounds import require_ranges
from clel.config import ADDED, require
from clel.data.images import ImageSpec

Normalisation = Literal["data", "cifar10"]
"""Whose mean and std networks normalise by: the training split's, or CIFAR-10's whatever the images."""


@dataclass(frozen=True)
class NetworkConfig:
    """The energy network: residual towers on the image and on average-pooled copies of it, an MLP, and a projection."""

    widths: tuple[int, ...] = (128, 128, 256, 256)
    """Channels of each stage; stages after the first begin with a 2x2 average pooling. [CLEL Table 2]"""
    blocks: int = 2
    """Pre-activation residual blocks a stage. [CLEL Table 2: 1 small, 2 base and large]"""
    towers: int = 1
    """Towers with own weights: on x, x pooled by 2, x pooled by 4, ... [CLEL Table 2: 3 in large]"""
    hidden: int = 2048
    """Hidden units of the head and of the projection. [CLEL Table 2]"""
    features: int = 128
    """Dimension d of f(x) and of the latent z. [CLEL Appendix B]"""
    slope: float = 0.2
    """Negative slope of the leaky ReLU. [authors' code]"""
    spectral_norm: bool = True
    """Divide every convolution's weight by its largest singular value, estimated by power iteration. [Appendix B]"""
    projection: Literal["mlp", "linear", "none"] = field(default="mlp", metadata=ADDED)
    """g: mlp, without biases; linear, a matrix; none, g(f) = f, so that z has f's dimension. [CLEL Table 3]"""
    energy: Literal["norm", "head"] = field(default="norm", metadata=ADDED)
    """E(x): norm, 1/2 |f(x)|^2; head, an MLP of f(x) with one output, and the norm of f is free. [CLEL footnote 1]"""

    def __post_init__(self) -> None:
        require_ranges(self)
        require(self.features > 1, f"features is {self.features}; expected at least 2")
        for name, known in (("projection", ("mlp", "linear", "none")), ("energy", ("norm", "head"))):
            given = getattr(self, name)
            require(given in known, f"{name} is {given!r}; expected one of {', '.join(known)}")


NETWORKS = {
    "tiny": NetworkConfig(widths=(32, 64), blocks=1, hidden=256, features=64),
    "small": NetworkConfig(widths=(64, 64, 128, 128), blocks=1),
    "base": NetworkConfig(),
    "multiscale": NetworkConfig(towers=3),
    "large": NetworkConfig(widths=(256, 256, 256, 256), towers=3),
    "base64": NetworkConfig(widths=(64, 128, 128, 256, 256)),
}
"""Named sizes: tiny is this suite's own for 8x8 digits; small to large are CLEL's (1.725, 6.956, 19.290, 30.707 M);
base64, for 64x64 images, is in an early version of the authors' code."""


class ResidualBlock(nn.Module):
    """x + conv(act(conv(act(x)))), with a bias-free 1x1 convolution of x where the width changes."""

    def __init__(self, inputs: int, outputs: int, slope: float, norm: bool) -> None:
        super().__init__()
        self.slope = slope
        self.conv1 = convolution(inputs, outputs, 3, norm)
        self.conv2 = convolution(outputs, outputs, 3, norm)
        self.shortcut = convolution(inputs, outputs, 1, norm, bias=False) if inputs != outputs else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv1(F.leaky_relu(x, self.slope))
        return self.shortcut(x) + self.conv2(F.leaky_relu(y, self.slope))


class Tower(nn.Module):
    """Image [N, C, H, W] -> pooled features [N, widths[-1]]: stem, stages of residual blocks, act, global mean."""

    def __init__(self, config: NetworkConfig, spec: ImageSpec) -> None:
        super().__init__()
        norm, slope = config.spectral_norm, config.slope
        self.stem = nn.Sequential(Normalise(spec), convolution(spec.channels, config.widths[0], 3, norm))
        stages, inputs = [], config.widths[0]
        for number, width in enumerate(config.widths):
            layers: list[nn.Module] = [nn.AvgPool2d(2)] if number else []
            for _ in range(config.blocks):
                layers.append(ResidualBlock(inputs, width, slope, norm))
                inputs = width
            stages.append(nn.Sequential(*layers))
        self.stages = nn.Sequential(*stages)
        self.slope = slope

    def forward(self, x: Tensor) -> Tensor:
        return F.leaky_relu(self.stages(self.stem(x)), self.slope).mean((2, 3))


class EnergyNetwork(nn.Module):
    """f: images [N, C, H, W] in [0, 1] -> [N, d], and the bias-free projection g: [N, d] -> [N, d] (CLEL Table 2).

    energy_head: [N, d] -> [N, 1], the energy of f where it is not 1/2 |f|^2; None where it is.

    Raises:
        ConfigError: the image is too small to be pooled as often as the stages and towers ask.
    """

    def __init__(self, config: NetworkConfig, spec: ImageSpec) -> None:
        super().__init__()
        smallest = spec.size >> (config.towers - 1) >> (len(config.widths) - 1)
        require(
            smallest >= 1,
            f"images of {spec.size} pixels cannot be pooled {config.towers + len(config.widths) - 2} times; "
            "use fewer stages (widths) or towers",
        )
        self.towers = nn.ModuleList(Tower(config, spec) for _ in range(config.towers))
        self.head = mlp(config.towers * config.widths[-1], config.hidden, config.features, config.slope)
        build: dict[str, Callable[[], nn.Module]] = {
            "mlp": lambda: mlp(config.features, config.hidden, config.features, config.slope, bias=False),
            "linear": lambda: linear(config.features, config.features, bias=False),
            "none": nn.Identity,
        }
        self.projection = build[config.projection]()
        self.energy_head: nn.Module | None = None
        if config.energy == "head":
            self.energy_head = mlp(config.features, config.hidden, 1, config.slope)

    def forward(self, x: Tensor) -> Tensor:
        """f(x)."""
        scales = [F.avg_pool2d(x, 2**k) if k else x for k in range(len(self.towers))]
        features = torch.cat([tower(s) for tower, s in zip(self.towers, scales, strict=True)], dim=1)
        return outside_autocast(self.head, features)


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
