"""Convolutions with their neighbours fused in: what the hand-written input gradient (gradient.py) is made of.

oneDNN multiplies a convolution of 64 channels at nearly the rate of a large matrix product; in bfloat16 the passes over
memory between two of them, activation, addition and pooling, then take as long as all convolutions together. Here the
activation and the addition are part of the convolution before them, and a 2x2 average pooling is part of its kernel.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

WHOLE_CHANNELS = {"cuda": 8}
"""Channels come in multiples of this on a kind of device: cuDNN copies every other bfloat16 image into such a one in
each call, or takes a convolution of another kind, of four times the time."""


@cache
def fused_available(dtype: torch.dtype) -> bool:
    """Whether oneDNN's fused convolutions are there in this number format and give what their parts give.

    A private interface; and oneDNN refuses a format that the processor has no instructions for, where torch's own
    convolution falls back to another.
    """
    if not torch.backends.mkldnn.is_available():
        return False
    x = torch.ones(1, 1, 2, 2, dtype=dtype, device="cpu")
    w = torch.full((1, 1, 1, 1), -1.0, dtype=dtype, device="cpu")
    try:
        activated = _fused(x, w, None, 1, 0, 0.5, None)
        added = _fused(x, w, None, 1, 0, None, 3 * x)
    except (AttributeError, RuntimeError, TypeError):
        return False
    return bool((activated == -0.5).all() and (added == 2).all())


def _fused(
    x: Tensor, weight: Tensor, bias: Tensor | None, stride: int, padding: int, slope: float | None, add: Tensor | None
) -> Tensor:
    ops: Any = torch.ops.mkldnn
    shape = ([padding] * 2, [stride] * 2, [1, 1], 1)
    if add is None:
        return ops._convolution_pointwise(x, weight, bias, *shape, "leaky_relu", [slope], "")
    return ops._convolution_pointwise.binary(x, add, weight, bias, *shape, "add", 1.0, None, [], None)


class Convolution:
    """y = W * x + b, a same-size convolution without parameter gradients; with `pooled`, y = pool2x2(W * x + b).

    Pooling is linear, so it is folded into the kernel: a k x k kernel followed by a 2x2 mean is one of (k+1) x (k+1)
    and stride 2. That is 4/9 of the multiplications of a 3x3, and the large output is never written.

    Args:
        layer: a plain (folded) convolution of stride 1 and padding k // 2, whose weight `refresh` reads.
        dtype: number format of what is multiplied.
        pooled: fold the mean over 2x2 squares in; sides must be even.
        scale: factors of the input channels [C, 1, 1], folded into the weight.
    """

    def __init__(self, layer: nn.Conv2d, dtype: torch.dtype, pooled: bool = False, scale: Tensor | None = None) -> None:
        self.layer, self.dtype, self.pooled, self.scale = layer, dtype, pooled, scale
        self.stride, self.padding = (2 if pooled else 1), layer.kernel_size[0] // 2
        self.fuses = fused_available(dtype)
        self.weight = self._weight().to(dtype).contiguous(memory_format=torch.channels_last)
        self.bias = None if layer.bias is None else layer.bias.detach().to(dtype, copy=True)

    @torch.no_grad()
    def refresh(self) -> None:
        """Take the layer's present weight, pooled and scaled in its own format, then rounded. Nothing moves."""
        self.weight.copy_(self._weight())
        if self.bias is not None and self.layer.bias is not None:
            self.bias.copy_(self.layer.bias)

    def _weight(self) -> Tensor:
        weight = self.layer.weight.detach()
        if self.scale is not None:
            weight = weight * self.scale
        if not self.pooled:
            return weight.clone()
        return torch.stack([F.pad(weight, (i, 1 - i, j, 1 - j)) for i in (0, 1) for j in (0, 1)]).mean(0)

    def __call__(self, x: Tensor, slope: float | None = None, add: Tensor | None = None) -> Tensor:
        """leaky_relu(y, slope) if a slope is given, y + add if `add` is, y otherwise."""
        fusable = slope is not None or add is not None
        if fusable and self.fuses and x.device.type == "cpu":
            return _fused(x, self.weight, self.bias, self.stride, self.padding, slope, add)
        y = F.conv2d(x, self.weight, self.bias, self.stride, self.padding)
        if slope is not None:
            return F.leaky_relu_(y, slope)
        return y if add is None else y.add_(add)

    def transposed(self, g: Tensor) -> Tensor:
        """dL/dx of g = dL/dy; a pooled convolution's x has twice the side of y."""
        return F.conv_transpose2d(g, self.weight, None, self.stride, self.padding)


class FirstConvolution(Convolution):
    """The convolution of the image itself, its input and weight split in two where `dtype` has few digits.

    With v = v1 + v2, v1 = round(v), W * x is W1 * x1 + W1 * x2 + W2 * x1 but for the square of the rounding: one
    convolution of three times the channels, which for an image's few channels costs no more. Channels of zeros follow
    where the device wants a multiple of some number (WHOLE_CHANNELS).
    """

    def _weight(self) -> Tensor:
        weight = super()._weight()
        if self.dtype == weight.dtype:
            return weight
        high, low = _split(weight, self.dtype)
        return _filled([high, high, low])

    def prepared(self, x: Tensor) -> Tensor:
        """The images x [N, C, H, W] as `__call__` takes them."""
        if self.dtype != x.dtype:
            high, low = _split(x, self.dtype)
            x = _filled([high, low, high])
        return x.contiguous(memory_format=torch.channels_last)

    def transposed(self, g: Tensor) -> Tensor:
        if g.device.type in WHOLE_CHANNELS:  # a part of the channels would have to be filled up anew
            return super().transposed(g)[:, : self.layer.in_channels]
        weight = self.weight[:, : self.layer.in_channels]
        return F.conv_transpose2d(g, weight, None, self.stride, self.padding)


def _filled(parts: list[Tensor]) -> Tensor:
    """The parts [n, C, h, w] one after the other, then channels of zeros up to a multiple that the device wants."""
    channels = sum(part.shape[1] for part in parts)
    lacking = -channels % WHOLE_CHANNELS.get(parts[0].device.type, 1)
    return F.pad(torch.cat(parts, dim=1), (0, 0, 0, 0, 0, lacking)) if lacking else torch.cat(parts, dim=1)


def _split(v: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    high = v.to(dtype)
    return high, (v - high).to(dtype)


def through_activation(g: Tensor, y: Tensor, slope: float) -> Tensor:
    """g <- g L'(x), in place, for y = L(x) = leaky_relu(x, slope > 0), whose sign is x's."""
    ops: Any = torch.ops.aten
    return ops.leaky_relu_backward.grad_input(g, y, slope, True, grad_input=g)


def pooled_gradient(g: Tensor, factor: int) -> Tensor:
    """dL/dx of g = dL/dy [N, C, H, W], y the mean of x over squares of side `factor`: [N, C, factor H, factor W]."""
    return F.interpolate(g / factor**2, scale_factor=factor, mode="nearest")
