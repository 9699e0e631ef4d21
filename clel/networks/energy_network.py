"""The energy network f of CLEL (Table 2): residual towers, an MLP, and the projection g."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from clel.bounds import require_ranges
from clel.config import ADDED, require
from clel.data.images import ImageSpec
from clel.networks.layers import Normalise, convolution, linear, mlp, outside_autocast


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
