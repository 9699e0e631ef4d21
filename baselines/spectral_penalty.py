"""Spectral regularisation (Vahdat & Kautz, NeurIPS 2020, section 3.2): the sum of largest singular values.

A penalty, where spectral norm divides: R = sum_i sigma_1(W_i), with W_i a convolution's weight as a matrix [out, rest].
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def remember_singular_vectors(network: nn.Module) -> None:
    """Give each convolution a buffer `u` [out], where the next power iteration starts: saved with the weights."""
    for layer in convolutions(network):
        layer.register_buffer("u", F.normalize(torch.randn(layer.weight.shape[0]), dim=0))


def convolutions(network: nn.Module) -> list[nn.Conv2d]:
    """The 2-D convolutions, in order."""
    return [m for m in network.modules() if isinstance(m, nn.Conv2d)]


def spectral_sum(network: nn.Module, iterations: int = 4) -> Tensor:
    """sum_i u_i^T W_i v_i, with u_i and v_i from `iterations` power iterations that go on from the remembered u_i.

    Weights of one shape are iterated together, a few batched products instead of many small ones. The gradient is
    that of the singular value, u v^T; u and v count as constants.
    """
    total = torch.zeros((), device=next(network.parameters()).device)
    for layers in _by_shape(network).values():
        w = torch.stack([layer.weight.flatten(1) for layer in layers])
        u = torch.stack([layer.u for layer in layers])  # type: ignore[misc]
        with torch.no_grad():
            for _ in range(iterations):
                v = F.normalize(torch.einsum("kr,krc->kc", u, w), dim=1)
                u = F.normalize(torch.einsum("krc,kc->kr", w, v), dim=1)
            for layer, vector in zip(layers, u, strict=True):
                layer.u.copy_(vector)  # type: ignore[operator]
        total = total + torch.einsum("kr,krc,kc->", u, w, v)
    return total


def scale_sum(network: nn.Module) -> Tensor:
    """The sum over batch-norm layers of max_c |gamma_c|: what a batch norm can stretch by (authors' code of NVAE)."""
    scales = [m.weight.abs().amax() for m in network.modules() if isinstance(m, nn.BatchNorm2d)]
    return torch.stack(scales).sum() if scales else torch.zeros((), device=next(network.parameters()).device)


def _by_shape(network: nn.Module) -> dict[tuple[int, int], list[nn.Conv2d]]:
    groups: dict[tuple[int, int], list[nn.Conv2d]] = {}
    for layer in convolutions(network):
        rows = layer.out_channels
        groups.setdefault((rows, layer.in_channels // layer.groups * layer.kernel_size[0] ** 2), []).append(layer)
    return groups
