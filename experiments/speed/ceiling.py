"""The practical ceiling: what a large matrix product, or a large convolution, reaches on this device in this run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import conv2d

from clel.machine.processor import multiplies_bfloat16
from experiments.speed.profiles import Effort

CHANNELS, SIDE, KERNEL = 256, 16, 3
"""Of the convolutions: those of a wide stage of the networks here."""


@dataclass(frozen=True)
class Product:
    """One product: a matrix [n, n] by a matrix [n, n], or a 3x3 convolution of `n` images of CHANNELS to CHANNELS."""

    kind: str
    n: int
    dtype: str

    @property
    def name(self) -> str:
        """matrix-1024-float32."""
        return f"{self.kind}-{self.n}-{self.dtype}"

    @property
    def flop(self) -> int:
        """Operations, two for each multiplication with its addition; the border of the convolution counted whole."""
        if self.kind == "matrix":
            return 2 * self.n**3
        return 2 * self.n * CHANNELS * CHANNELS * SIDE**2 * KERNEL**2

    def work(self, device: torch.device) -> Callable[[], Tensor]:
        """The product, ready to be called."""
        dtype = getattr(torch, self.dtype)
        if self.kind == "matrix":
            a, b = (torch.randn(self.n, self.n, device=device, dtype=dtype) for _ in range(2))
            return lambda: a @ b
        x = torch.randn(self.n, CHANNELS, SIDE, SIDE, device=device, dtype=dtype)
        w = torch.randn(CHANNELS, CHANNELS, KERNEL, KERNEL, device=device, dtype=dtype)
        x, w = (t.to(memory_format=torch.channels_last) for t in (x, w))

        def convolve() -> Tensor:
            with torch.no_grad():
                return conv2d(x, w, padding=KERNEL // 2)

        return convolve


def products(effort: Effort, device: torch.device) -> list[Product]:
    """The products to try, in float32, and in bfloat16 where the device multiplies it itself."""
    kinds = ["float32", *(["bfloat16"] if multiplies_bfloat16(device) else [])]
    return [
        *(Product("matrix", n, dtype) for dtype in kinds for n in effort.matrices),
        *(Product("convolution", n, dtype) for dtype in kinds for n in effort.images),
    ]
