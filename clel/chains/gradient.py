"""The input gradient of E(x) = 1/2 |f(x)|^2, and of E(x) - u(x).t, by hand, for CLEL's networks with frozen weights.

Automatic differentiation stores what it may need and goes over memory once for every activation, addition and pooling.
For this one family of networks the chain rule is a page; test_norm_gradient holds it to autograd's answer in float64.
Each stage takes as many images at a time as stay in the cache: few where they are large, many where they are small.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from clel.chains.kernels import Convolution, FirstConvolution, pooled_gradient, through_activation
from clel.networks.energy_network import EnergyNetwork, ResidualBlock, Tower

CACHE = 1 << 20
"""Bytes that one activation of a piece may take for each thread: a convolution reads one and writes one, in the 2 MiB
that a core has of its own."""

WHOLE = 1 << 30
"""More images than there are: all at once."""

BATCH = 64
"""Images whose activations are held at a time, where they are evaluated in pieces."""


def norm_gradient(network: nn.Module, dtype: torch.dtype, in_pieces: bool, side: int) -> NormGradient | None:
    """NormGradient of a folded network for images of `side` pixels; None for one that it does not know.

    It knows EnergyNetworks, and none derived from them, whose energy is the norm's and whose images halve evenly down
    to the last stage.
    """
    if type(network) is not EnergyNetwork or network.energy_head is not None:
        return None
    tower = network.towers[0]
    halvings = len(tower.stages) - 1 + len(network.towers) - 1  # type: ignore[arg-type]
    if side % 2**halvings != 0 or tower.slope <= 0:  # type: ignore[operator]
        return None
    return NormGradient(network, dtype, None if in_pieces else WHOLE)


class NormGradient:
    """x [N, C, H, W] in [0, 1] -> dE/dx [N, C, H, W] in x's format; with t [N, d] that of E(x) - u(x).t.

    Args:
        network: a folded EnergyNetwork in float32 (or float64), whose present weights `refresh` reads.
        dtype: number format of convolutions and activations. Means, head and energy keep the network's.
        piece: images evaluated at a time. If None, on a CPU: BATCH, and in each stage as many as CACHE has room for.
    """

    def __init__(self, network: EnergyNetwork, dtype: torch.dtype, piece: int | None = None) -> None:
        self.network, self.piece = network, piece
        self.towers = [_Tower(tower, dtype, piece) for tower in network.towers]  # type: ignore[arg-type]

    def refresh(self) -> None:
        """Take over the network's present weights."""
        for tower in self.towers:
            for convolution in tower.convolutions():
                convolution.refresh()

    @torch.no_grad()
    def __call__(self, x: Tensor, towards: Tensor | None = None) -> Tensor:
        size = WHOLE if x.device.type != "cpu" else self.piece or BATCH
        parts = x.split(size)
        targets = [None] * len(parts) if towards is None else towards.split(size)
        return _joined([self._batch(part, t) for part, t in zip(parts, targets, strict=True)])

    def _batch(self, x: Tensor, towards: Tensor | None) -> Tensor:
        records, pooled = [], []
        for k, tower in enumerate(self.towers):
            y, record = tower.forward(F.avg_pool2d(x, 2**k) if k else x)
            pooled.append(y)
            records.append(record)
        slopes = self._head(torch.cat(pooled, dim=1), towards).split([y.shape[1] for y in pooled], dim=1)
        gradient = self.towers[0].backward(slopes[0], records[0]).to(x.dtype)
        for k in range(1, len(self.towers)):
            gradient = gradient + pooled_gradient(self.towers[k].backward(slopes[k], records[k]).to(x.dtype), 2**k)
        return gradient

    def _head(self, v: Tensor, towards: Tensor | None) -> Tensor:
        """dE/dv of E = 1/2 |f|^2 - u.t with f = W2 L(W1 v + b1) + b2 for pooled features v [N, width]."""
        first, activation, last = self.network.head
        h = F.leaky_relu(F.linear(v, first.weight, first.bias), activation.negative_slope)  # type: ignore[arg-type]
        f = F.linear(h, last.weight, last.bias)  # type: ignore[arg-type]
        if towards is not None:
            f = f - self._agreement(f, towards)
        g = through_activation(f @ last.weight, h, activation.negative_slope)  # type: ignore[arg-type, operator]
        return g @ first.weight  # type: ignore[operator]

    def _agreement(self, f: Tensor, t: Tensor) -> Tensor:
        """d(u.t)/df [N, d] of u = g / |g|: (t - u (u.t)) / |g| through g = P2 L(P1 f), g = P f, or g = f."""
        projection = self.network.projection
        if not isinstance(projection, nn.Sequential):
            s = _turn(projection(f), t)
            return s @ projection.weight if isinstance(projection, nn.Linear) else s
        first, activation, last = projection
        h = F.leaky_relu(F.linear(f, first.weight), activation.negative_slope)  # type: ignore[arg-type]
        s = _turn(F.linear(h, last.weight), t)  # type: ignore[arg-type]
        return through_activation(s @ last.weight, h, activation.negative_slope) @ first.weight  # type: ignore[arg-type, operator]


def _turn(g: Tensor, t: Tensor) -> Tensor:
    """d(u.t)/dg [N, d] of u = g / |g|."""
    length = g.norm(dim=1, keepdim=True).clamp(min=torch.finfo(g.dtype).tiny)
    u = g / length
    return (t - u * (u * t).sum(1, keepdim=True)) / length


Pairs = list[tuple[Tensor, Tensor]]
"""(a, b) of every block, both activated: all that the way back through a piece needs."""
Record = tuple[list[list[Pairs]], Tensor]
"""The pairs of every piece of every stage, and the last activation."""


class _Tower:
    """A tower forwards and backwards; images come and go in float32, channels-last inside."""

    def __init__(self, tower: Tower, dtype: torch.dtype, piece: int | None) -> None:
        self.slope = tower.slope
        stages = [[m for m in stage.children() if isinstance(m, ResidualBlock)] for stage in tower.stages]
        last = len(stages) - 1
        self.stages = [_Stage(blocks, dtype, k != last, piece) for k, blocks in enumerate(stages) if k]
        first = _ImageStage(tower.stem, stages[0], dtype, last != 0, piece)  # type: ignore[arg-type]
        self.stages.insert(0, first)

    def convolutions(self) -> list[Convolution]:
        return [c for stage in self.stages for c in stage.convolutions()]

    def forward(self, x: Tensor) -> tuple[Tensor, Record]:
        """Features [N, width] in the network's own format, and the record."""
        y, record = x, []
        for stage in self.stages:
            y, pieces = stage.forward(y)
            record.append(pieces)
        y = F.leaky_relu_(y, self.slope)
        return y.mean((2, 3), dtype=torch.promote_types(y.dtype, torch.float32)), (record, y)

    def backward(self, g: Tensor, record: Record) -> Tensor:
        """dE/dx of the image from g = dE/d features."""
        pieces, y = record
        share = (g / (y.shape[2] * y.shape[3])).to(y.dtype)[:, :, None, None]
        g = share.expand_as(y).contiguous(memory_format=torch.channels_last)
        g = through_activation(g, y, self.slope)
        for stage, pairs in zip(reversed(self.stages), reversed(pieces), strict=True):
            g = stage.backward(g, pairs)
        return g


class _Stage:
    """Residual blocks on images of one side, then the next stage's pooling if `pooled`; piece by piece."""

    def __init__(self, blocks: list[ResidualBlock], dtype: torch.dtype, pooled: bool, piece: int | None) -> None:
        self.dtype, self.piece = dtype, piece
        self.blocks = [_Block(b, dtype, pooled and b is blocks[-1]) for b in blocks]
        self.width = blocks[0].conv1.out_channels

    def convolutions(self) -> list[Convolution]:
        return [c for block in self.blocks for c in block.convolutions()]

    def at_once(self, x: Tensor) -> int:
        """Images whose widest activation takes CACHE bytes for each thread; all of them elsewhere than on a CPU."""
        if self.piece is not None or x.device.type != "cpu":
            return self.piece or WHOLE
        image = int(self.width) * x.shape[2] * x.shape[3] * torch.finfo(self.dtype).bits // 8  # type: ignore[arg-type]
        return max(1, torch.get_num_threads() * CACHE // image)

    def forward(self, x: Tensor) -> tuple[Tensor, list[Pairs]]:
        parts = [self.forward_piece(part) for part in x.split(self.at_once(x))]
        return _joined([y for y, _ in parts]), [pairs for _, pairs in parts]

    def backward(self, g: Tensor, pieces: list[Pairs]) -> Tensor:
        parts = g.split([len(pairs[0][0]) for pairs in pieces])
        return _joined([self.backward_piece(part, pairs) for part, pairs in zip(parts, pieces, strict=True)])

    def forward_piece(self, x: Tensor) -> tuple[Tensor, Pairs]:
        pairs = []
        for block in self.blocks:
            x, pair = block.forward(x)
            pairs.append(pair)
        return x, pairs

    def backward_piece(self, g: Tensor, pairs: Pairs) -> Tensor:
        for block, pair in zip(reversed(self.blocks), reversed(pairs), strict=True):
            g = block.backward(g, *pair)
        return g


class _ImageStage(_Stage):
    """The first stage with the stem before it: x [n, C, H, W] and dE/dx in the images' own format.

    Where the stage is a single block, its shortcut is pool(W * x): a convolution of the image as well, which spares the
    large unactivated W * x on the way there and its gradient on the way back.
    """

    def __init__(
        self, stem: nn.Sequential, blocks: list[ResidualBlock], dtype: torch.dtype, pooled: bool, piece: int | None
    ) -> None:
        super().__init__(blocks, dtype, pooled, piece)
        self.normalise, layer = stem
        # zero padding is of normalised images, so the mean is taken off first; the division is part of the weight
        scale = 1 / self.normalise.std  # type: ignore[operator]
        self.stem = FirstConvolution(layer, dtype, scale=scale)  # type: ignore[arg-type]
        self.shortcut: FirstConvolution | None = None
        if pooled and len(blocks) == 1 and self.blocks[0].shortcut is None:
            self.shortcut = FirstConvolution(layer, dtype, pooled=True, scale=scale)  # type: ignore[arg-type]

    def convolutions(self) -> list[Convolution]:
        own = [self.stem] if self.shortcut is None else [self.stem, self.shortcut]
        return [*own, *super().convolutions()]

    def forward_piece(self, x: Tensor) -> tuple[Tensor, Pairs]:
        x = self.stem.prepared(x - self.normalise.mean)  # type: ignore[operator]
        if self.shortcut is None:
            return super().forward_piece(self.stem(x))
        block = self.blocks[0]
        a = self.stem(x, slope=block.slope)
        b = block.first(a, slope=block.slope)
        return block.second(b, add=self.shortcut(x)), [(a, b)]

    def backward_piece(self, g: Tensor, pairs: Pairs) -> Tensor:
        wide = torch.promote_types(g.dtype, torch.float32)
        if self.shortcut is None:
            return self.stem.transposed(super().backward_piece(g, pairs)).to(wide)
        through = self.blocks[0].through(g, *pairs[0])
        return self.stem.transposed(through).to(wide) + self.shortcut.transposed(g)


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

    def through(self, g: Tensor, a: Tensor, b: Tensor) -> Tensor:
        """dE/dx by way of the convolutions alone."""
        through = through_activation(self.second.transposed(g), b, self.slope)
        return through_activation(self.first.transposed(through), a, self.slope)

    def backward(self, g: Tensor, a: Tensor, b: Tensor) -> Tensor:
        through = self.through(g, a, b)
        s = g if self.shortcut is None else self.shortcut.transposed(g)
        return through.add_(pooled_gradient(s, 2) if self.pooled else s)


def _joined(parts: list[Tensor]) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(parts)
