"""The input gradient of E(x) = 1/2 |f(x)|^2 by hand, for CLEL's energy networks with frozen weights.

Automatic differentiation stores what it may need and goes over memory once for every activation, addition and pooling.
For this one family of networks the chain rule is a page; test_norm_gradient holds it to autograd's answer in float64.
Activations of one piece of the batch exist at a time, and small pieces stay in the cache.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from clel.kernels import Convolution, FirstConvolution, spread, through_activation
from clel.networks import EnergyNetwork, ResidualBlock, Tower

CACHE = 2 << 20
"""Bytes that one activation of a piece may take; 1 to 4 MiB are equally good where a core has 2 MiB of its own."""


def norm_gradient(network: nn.Module, dtype: torch.dtype, in_pieces: bool, side: int) -> NormGradient | None:
    """NormGradient of a folded network for images of `side` pixels; None for one that it does not know.

    It knows EnergyNetworks whose images halve evenly down to the last stage.
    """
    if not isinstance(network, EnergyNetwork):
        return None
    tower = network.towers[0]
    halvings = len(tower.stages) - 1 + len(network.towers) - 1  # type: ignore[arg-type]
    if side % 2**halvings != 0 or tower.slope <= 0:  # type: ignore[operator]
        return None
    return NormGradient(network, dtype, None if in_pieces else side**2 * 2**20)


class NormGradient:
    """x [N, C, H, W] in [0, 1] -> dE/dx [N, C, H, W] in x's format.

    Args:
        network: a folded EnergyNetwork in float32 (or float64), whose present weights `refresh` reads.
        dtype: number format of convolutions and activations. Means, head and energy keep the network's.
        piece: images evaluated at a time; by CACHE if None.
    """

    def __init__(self, network: EnergyNetwork, dtype: torch.dtype, piece: int | None = None) -> None:
        self.network, self.dtype, self.piece = network, dtype, piece
        self.towers = [_Tower(tower, dtype) for tower in network.towers]  # type: ignore[arg-type]

    def refresh(self) -> None:
        """Take over the network's present weights."""
        for tower in self.towers:
            for convolution in tower.convolutions():
                convolution.refresh()

    @torch.no_grad()
    def __call__(self, x: Tensor) -> Tensor:
        return torch.cat([self._piece(part) for part in x.split(self.piece or self.images_at_once(x))])

    def images_at_once(self, x: Tensor) -> int:
        """Images whose widest activation takes CACHE bytes on a CPU; all of them on another device."""
        if x.device.type != "cpu":
            return len(x)
        width = self.towers[0].stem.layer.out_channels
        image = width * x.shape[2] * x.shape[3] * torch.finfo(self.dtype).bits // 8
        return max(1, CACHE // image)

    def _piece(self, x: Tensor) -> Tensor:
        records, pooled = [], []
        for k, tower in enumerate(self.towers):
            y, record = tower.forward(F.avg_pool2d(x, 2**k) if k else x)
            pooled.append(y)
            records.append(record)
        slopes = self._head(torch.cat(pooled, dim=1)).split([y.shape[1] for y in pooled], dim=1)
        gradient = self.towers[0].backward(slopes[0], records[0]).to(x.dtype)
        for k in range(1, len(self.towers)):
            gradient = gradient + spread(self.towers[k].backward(slopes[k], records[k]).to(x.dtype), 2**k)
        return gradient

    def _head(self, v: Tensor) -> Tensor:
        """dE/dv of E = 1/2 |W2 L(W1 v + b1) + b2|^2 for pooled features v [N, width]."""
        first, activation, last = self.network.head
        h = F.leaky_relu(F.linear(v, first.weight, first.bias), activation.negative_slope)  # type: ignore[arg-type]
        f = F.linear(h, last.weight, last.bias)  # type: ignore[arg-type]
        g = through_activation(f @ last.weight, h, activation.negative_slope)  # type: ignore[arg-type, operator]
        return g @ first.weight  # type: ignore[operator]


Record = tuple[list[tuple[Tensor, Tensor]], Tensor]
"""(a, b) of every block, both activated, and the last activation: all that the way back needs."""


class _Tower:
    """A tower forwards and backwards; images come and go in float32, channels-last inside."""

    def __init__(self, tower: Tower, dtype: torch.dtype) -> None:
        self.dtype, self.slope = dtype, tower.slope
        self.normalise, layer = tower.stem
        # zero padding is of normalised images, so the mean is taken off first; the division is part of the weight
        self.stem = FirstConvolution(layer, dtype, scale=1 / self.normalise.std)  # type: ignore[arg-type, operator]
        self.blocks: list[_Block] = []
        for number, stage in enumerate(tower.stages):
            blocks = [m for m in stage.children() if isinstance(m, ResidualBlock)]
            last_stage = number == len(tower.stages) - 1
            self.blocks += [_Block(b, dtype, b is blocks[-1] and not last_stage) for b in blocks]

    def convolutions(self) -> list[Convolution]:
        return [self.stem, *(c for block in self.blocks for c in block.convolutions())]

    def forward(self, x: Tensor) -> tuple[Tensor, Record]:
        """Features [N, width] in the network's own format, and the record."""
        y = self.stem(x - self.normalise.mean)  # type: ignore[operator]
        record = []
        for block in self.blocks:
            y, pair = block.forward(y)
            record.append(pair)
        y = F.leaky_relu_(y, self.slope)
        wide = torch.promote_types(self.dtype, torch.float32)
        return y.mean((2, 3), dtype=wide), (record, y)

    def backward(self, g: Tensor, record: Record) -> Tensor:
        """dE/dx of the image from g = dE/d features."""
        pairs, y = record
        share = (g / (y.shape[2] * y.shape[3])).to(self.dtype)[:, :, None, None]
        g = share.expand_as(y).contiguous(memory_format=torch.channels_last)
        g = through_activation(g, y, self.slope)
        for block, pair in zip(reversed(self.blocks), reversed(pairs), strict=True):
            g = block.backward(g, *pair)
        return self.stem.transposed(g)


class _Block:
    """S(x) + C2 * L(C1 * L(x)), S the shortcut; then the next stage's pooling, if `pooled`."""

    def __init__(self, block: ResidualBlock, dtype: torch.dtype, pooled: bool) -> None:
        self.slope, self.pooled = block.slope, pooled
        self.first = Convolution(block.conv1, dtype)  # type: ignore[arg-type]
        self.second = Convolution(block.conv2, dtype, pooled)  # type: ignore[arg-type]
        shortcut = block.shortcut
        self.shortcut = None if isinstance(shortcut, nn.Identity) else Convolution(shortcut, dtype)  # type: ignore[arg-type]

    def convolutions(self) -> list[Convolution]:
        return [c for c in (self.first, self.second, self.shortcut) if c is not None]

    def forward(self, x: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        a = F.leaky_relu(x, self.slope)
        b = self.first(a, slope=self.slope)
        s = F.avg_pool2d(x, 2) if self.pooled else x
        if self.shortcut is not None:  # 1x1 and without bias, so that it commutes with pooling
            s = self.shortcut(s)
        return self.second(b, add=s), (a, b)

    def backward(self, g: Tensor, a: Tensor, b: Tensor) -> Tensor:
        through = through_activation(self.second.transposed(g), b, self.slope)
        through = through_activation(self.first.transposed(through), a, self.slope)
        s = g if self.shortcut is None else self.shortcut.transposed(g)
        return through.add_(spread(s, 2) if self.pooled else s)
