"""The time-conditioned residual network of diffusion recovery likelihood (Gao et al., ICLR 2021; authors' code).

No normalisation layers. Every layer but the last dense map is spectrally normalised.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm
from torch.nn.utils.parametrize import register_parametrization

from clel.bounds import require_ranges
from clel.config import require
from clel.data import ImageSpec


@dataclass(frozen=True)
class DRLNetworkConfig:
    """The network; the defaults are the authors' for 32x32 images, 34.83 million parameters."""

    width: int = 128
    """Channels of the first stage, and dimension of the sinusoidal time embedding. [authors' code]"""
    multipliers: tuple[int, ...] = (1, 2, 2, 2)
    """Channels of each stage, as multiples of `width`; stages after the first begin with a 2x2 average pooling.
    [authors' code]"""
    blocks: int = 8
    """Residual blocks a stage, the paper's N. [authors' code: 8 for CIFAR-10]"""
    slope: float = 0.2
    """Negative slope of the leaky ReLU. [authors' code]"""

    def __post_init__(self) -> None:
        require_ranges(self)
        require(self.width >= 4 and self.width % 2 == 0, f"width is {self.width}; expected an even number from 4 on")


def sinusoids(t: Tensor, dimension: int) -> Tensor:
    """sin and cos of t 10000^(-k / (h - 1)), k = 0, ..., h - 1, h = dimension / 2: [N] -> float32 [N, dimension]."""
    half = dimension // 2
    k = torch.arange(half, dtype=torch.float32, device=t.device)
    angles = t.float()[:, None] * torch.exp(-math.log(10_000) / (half - 1) * k)
    return torch.cat([angles.sin(), angles.cos()], dim=1)


class TwoSidedCap(nn.Module):
    """W -> W / max(1, sigma), sigma the largest singular value by power iteration, one in each training evaluation.

    Other than spectral norm it leaves a small weight small, so that a branch can start near zero.
    """

    u: Tensor
    v: Tensor

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        matrix = weight.detach().flatten(1)
        self.register_buffer("u", F.normalize(torch.randn_like(matrix[:, 0]), dim=0))
        self.register_buffer("v", torch.zeros_like(matrix[0]))
        self.iterate(matrix, 15)

    @torch.no_grad()
    def iterate(self, matrix: Tensor, times: int) -> None:
        """Power iterations: v <- W'u / |W'u|, u <- Wv / |Wv|."""
        for _ in range(times):
            self.v.copy_(F.normalize(matrix.T @ self.u, dim=0))
            self.u.copy_(F.normalize(matrix @ self.v, dim=0))

    def forward(self, weight: Tensor) -> Tensor:
        matrix = weight.flatten(1)
        if self.training:
            self.iterate(matrix, 1)
        # cloned, since the next forward overwrites u and v before this one's backward pass
        sigma = self.u.clone() @ matrix @ self.v.clone()
        return weight / sigma.clamp(min=1)


def uniform_init(layer: nn.Conv2d | nn.Linear, scale: float = 1.0) -> None:
    """Weights uniform with variance 2 scale / (fan_in + fan_out), zero bias."""
    nn.init.xavier_uniform_(layer.weight, gain=math.sqrt(scale))
    assert layer.bias is not None
    nn.init.zeros_(layer.bias)


def convolution3x3(inputs: int, outputs: int) -> nn.Module:
    """A 3x3 same-size convolution, spectrally normalised."""
    layer = nn.Conv2d(inputs, outputs, 3, padding=1)
    uniform_init(layer)
    return spectral_norm(layer)


def closed_convolution(inputs: int, outputs: int) -> nn.Module:
    """A 3x3 same-size convolution with weights near zero, its singular values held below 1."""
    layer = nn.Conv2d(inputs, outputs, 3, padding=1)
    uniform_init(layer, 1e-10)
    register_parametrization(layer, "weight", TwoSidedCap(layer.weight))
    return layer


def dense(inputs: int, outputs: int, norm: bool = True) -> nn.Module:
    """A dense map, spectrally normalised if `norm`."""
    layer = nn.Linear(inputs, outputs)
    uniform_init(layer)
    return spectral_norm(layer) if norm else layer


class TimeBlock(nn.Module):
    """shortcut(h) + g (conv(act(conv(act(h)) + dense(act(e))))), e the time embedding, g a learned scale a channel."""

    def __init__(self, inputs: int, outputs: int, embedding: int, slope: float) -> None:
        super().__init__()
        self.slope = slope
        self.conv1 = convolution3x3(inputs, outputs)
        self.time = dense(embedding, outputs)
        self.conv2 = closed_convolution(outputs, outputs)
        self.g = nn.Parameter(torch.ones(outputs, 1, 1))
        self.shortcut = convolution3x3(inputs, outputs) if inputs != outputs else nn.Identity()

    def forward(self, h: Tensor, e: Tensor) -> Tensor:
        y = self.conv1(F.leaky_relu(h, self.slope)) + self.time(F.leaky_relu(e, self.slope))[:, :, None, None]
        return self.shortcut(h) + self.g * self.conv2(F.leaky_relu(y, self.slope))


class DRLNetwork(nn.Module):
    """F: images [N, C, H, W] about [-1, 1] and levels t [N] -> float32 [N], higher where likelier.

    F(y, t) = sum_c w_c(t) sum_space relu(h_c), w(t) a dense map of the time embedding.

    Raises:
        ConfigError: the image is too small to be pooled as often as the stages ask.
    """

    def __init__(self, config: DRLNetworkConfig, spec: ImageSpec) -> None:
        super().__init__()
        poolings = len(config.multipliers) - 1
        require(
            spec.size >> poolings >= 1,
            f"images of {spec.size} pixels cannot be halved {poolings} times; use fewer stages (network.multipliers)",
        )
        self.width, self.slope, embedding = config.width, config.slope, 4 * config.width
        self.time1, self.time2 = dense(config.width, embedding), dense(embedding, embedding)
        self.stem = convolution3x3(spec.channels, config.width)
        stages, inputs = [], config.width
        for multiplier in config.multipliers:
            stage, outputs = nn.ModuleList(), config.width * multiplier
            for _ in range(config.blocks):
                stage.append(TimeBlock(inputs, outputs, embedding, config.slope))
                inputs = outputs
            stages.append(stage)
        self.stages = nn.ModuleList(stages)
        self.readout = dense(embedding, inputs, norm=False)

    def forward(self, y: Tensor, t: Tensor) -> Tensor:
        e = self.embedding(t, y.dtype)
        h = self.stem(y)
        for number, stage in enumerate(self.stages):
            h = F.avg_pool2d(h, 2) if number else h
            for block in stage:  # type: ignore[attr-defined]
                h = block(h, e)
        kind = torch.promote_types(h.dtype, torch.float32)  # chains may run in bfloat16, energies never
        pooled = F.relu(h).sum((2, 3), dtype=kind)
        return (pooled * self.readout(F.leaky_relu(e, self.slope)).to(kind)).sum(1)

    def embedding(self, t: Tensor, dtype: torch.dtype) -> Tensor:
        """e(t) [N, 4 width]: two dense maps of the sinusoids."""
        return self.time2(F.leaky_relu(self.time1(sinusoids(t, self.width).to(dtype)), self.slope))
