"""Convolutions under spectral norm as IGEBM's release has them: raw kernels from N(0, std^2), without biases.

Spectral norm makes the function independent of the raw kernel's scale, but not training: Adam's first step moves each
raw weight by lr, and so turns the kernel by an angle of about lr / std.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrize
from torch.nn.utils.parametrizations import spectral_norm


def normalised(inputs: int, outputs: int, std: float) -> nn.Module:
    """A 3x3 same-size convolution by W / sigma(W), W raw from N(0, std^2)."""
    return spectral_norm(_raw(inputs, outputs, std))


def capped(inputs: int, outputs: int, std: float) -> nn.Module:
    """A 3x3 same-size convolution by W / max(sigma(W), 1), W raw from N(0, std^2): small kernels stay small."""
    conv = _raw(inputs, outputs, std)
    parametrize.register_parametrization(conv, "weight", SpectralCap(conv.weight))
    return conv


class SpectralCap(nn.Module):
    """W -> W / max(sigma, 1), with sigma = |W^T u| the largest singular value of W as a matrix [out, rest].

    In training mode a call makes one power iteration, u <- W W^T u normalised. In the gradient u counts as a constant,
    so that it is that of the singular value, u v^T.
    """

    u: Tensor

    def __init__(self, weight: Tensor, iterations: int = 15) -> None:
        super().__init__()
        self.register_buffer("u", F.normalize(torch.randn(len(weight)), dim=0))
        for _ in range(iterations):
            self._iterate(weight.flatten(1))

    @torch.no_grad()
    def _iterate(self, w: Tensor) -> None:
        v = F.normalize(w.T @ self.u, dim=0)
        self.u.copy_(F.normalize(w @ v, dim=0))

    def forward(self, weight: Tensor) -> Tensor:
        w = weight.flatten(1)
        if self.training:
            self._iterate(w)
        # a copy, since the next call writes to u and the gradient of this one may be taken after it
        sigma = torch.linalg.vector_norm(w.T @ self.u.clone())
        return weight / sigma.clamp(min=1)


def _raw(inputs: int, outputs: int, std: float) -> nn.Conv2d:
    conv = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
    nn.init.normal_(conv.weight, std=std)
    return conv
