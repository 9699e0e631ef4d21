"""The residual cells of NVAE (Vahdat & Kautz, NeurIPS 2020, figures 2 and 3): x -> skip(x) + 0.1 branch(x).

The encoder's branch is twice batch norm, swish, 3x3 convolution; the decoder's a mobile inverted residual: expand by a
1x1 convolution, 5x5 depthwise convolution, back by a 1x1 convolution. Both may end in squeeze-and-excitation. A cell
keeps the size, halves it with twice the channels ("down"), or doubles it with half the channels ("up").

In a training pass a cell may multiply in bfloat16. What goes from cell to cell stays float32: a sum of a hundred
branches of weight 0.1, each rounded to the eight bits of bfloat16 as it is added, would lose the small ones.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

from clel.networks.recompute import Recomputed

Resize = Literal["same", "down", "up"]
BRANCH = 0.1
"""Weight of every branch. [authors' code]"""


def conv(
    inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1, bias: bool = True, norm: bool = True
) -> nn.Conv2d:
    """A same-size convolution (half-size at stride 2), its weight as direction and length (weight norm) if `norm`."""
    layer = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=bias)
    return weight_norm(layer) if norm else layer


def batch_norm(channels: int) -> nn.BatchNorm2d:
    """Batch norm whose running statistics move by 0.05 a step. [authors' code]"""
    return nn.BatchNorm2d(channels, momentum=0.05)


class SqueezeExcite(nn.Module):
    """x * sigmoid(MLP(mean over space of x)), with max(C / 16, 4) hidden units (Hu et al., CVPR 2018)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        hidden = max(channels // 16, 4)
        self.gate = nn.Sequential(nn.Linear(channels, hidden), nn.ReLU(), nn.Linear(hidden, channels), nn.Sigmoid())

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gate(x.mean((2, 3)))[:, :, None, None]


class Halve(nn.Module):
    """Half the size: a 1x1 convolution, after a swish, on each of the four grids of every other pixel, side by side."""

    def __init__(self, inputs: int, outputs: int, norm: bool) -> None:
        super().__init__()
        quarter = outputs // 4
        widths = [quarter, quarter, quarter, outputs - 3 * quarter]
        self.convs = nn.ModuleList(conv(inputs, width, 1, norm=norm) for width in widths)

    def forward(self, x: Tensor) -> Tensor:
        y = F.silu(x)
        grids = [y[:, :, i::2, j::2] for i, j in ((0, 0), (1, 1), (0, 1), (1, 0))]
        return torch.cat([layer(grid) for layer, grid in zip(self.convs, grids, strict=True)], dim=1)


class Double(nn.Module):
    """Twice the size, bilinear with aligned corners, then a 1x1 convolution."""

    def __init__(self, inputs: int, outputs: int, norm: bool) -> None:
        super().__init__()
        self.conv = conv(inputs, outputs, 1, norm=norm, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=True))


def skip(inputs: int, resize: Resize, norm: bool) -> nn.Module:
    """The path beside a branch."""
    if resize == "down":
        return Halve(inputs, 2 * inputs, norm)
    return Double(inputs, inputs // 2, norm) if resize == "up" else nn.Identity()


class ResidualCell(Recomputed):
    """x [N, C, H, W] -> skip(x) + 0.1 branch(x), in the number format of x."""

    skip: nn.Module
    branch: nn.Module
    training_dtype = torch.float32
    """Number format of the convolutions in training mode (autocast); the norms' statistics are float32 in any."""

    def compute(self, x: Tensor) -> Tensor:
        with self._multiplying(x.device):
            return self.skip(x).to(x.dtype) + BRANCH * self.branch(x)

    def _multiplying(self, device: torch.device) -> AbstractContextManager[object]:
        # weight norm's own operations are none that autocast rounds
        if self.training and self.training_dtype != torch.float32:
            return torch.autocast(device.type, self.training_dtype)
        return nullcontext()


def multiply_in(module: nn.Module, dtype: torch.dtype) -> None:
    """Set `training_dtype` of every cell inside."""
    for m in module.modules():
        if isinstance(m, ResidualCell):
            m.training_dtype = dtype


class EncoderCell(ResidualCell):
    """skip(x) + 0.1 SE(conv(swish(bn(conv(swish(bn(x))))))); `down` halves, `same` keeps the size."""

    def __init__(self, inputs: int, resize: Resize, excite: bool, norm: bool) -> None:
        super().__init__()
        outputs, stride = (2 * inputs, 2) if resize == "down" else (inputs, 1)
        self.skip = skip(inputs, resize, norm)
        layers = [batch_norm(inputs), nn.SiLU(), conv(inputs, outputs, 3, stride, norm=norm)]
        layers += [batch_norm(outputs), nn.SiLU(), conv(outputs, outputs, 3, norm=norm)]
        self.branch = nn.Sequential(*layers, *([SqueezeExcite(outputs)] if excite else []))


class DecoderCell(ResidualCell):
    """skip(x) + 0.1 SE(bn(1x1(swish(bn(5x5 depthwise(swish(bn(1x1(bn(x))))))))); hidden channels expansion * C."""

    def __init__(self, inputs: int, resize: Resize, expansion: int, excite: bool, norm: bool) -> None:
        super().__init__()
        outputs, hidden = inputs // 2 if resize == "up" else inputs, expansion * inputs
        self.skip = skip(inputs, resize, norm)
        layers: list[nn.Module] = [nn.UpsamplingNearest2d(scale_factor=2)] if resize == "up" else []
        # batch norm follows each of these convolutions, so that they need neither bias nor weight norm
        layers += [batch_norm(inputs), conv(inputs, hidden, 1, bias=False, norm=False), batch_norm(hidden), nn.SiLU()]
        layers += [conv(hidden, hidden, 5, groups=hidden, bias=False, norm=False), batch_norm(hidden), nn.SiLU()]
        layers += [conv(hidden, outputs, 1, bias=False, norm=False), batch_norm(outputs)]
        self.branch = nn.Sequential(*layers, *([SqueezeExcite(outputs)] if excite else []))
