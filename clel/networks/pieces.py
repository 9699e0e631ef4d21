"""Training passes over a few images at a time, whose activations are computed twice: time for memory.

The energies of a batch do not depend on each other, so nothing but the order of sums changes.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.utils.checkpoint import checkpoint

from clel.networks.frozen import FrozenView

MIXING = (nn.modules.batchnorm._BatchNorm, nn.modules.dropout._DropoutNd)
"""Layers for which a batch is more than its images: they share statistics, or a stream of random numbers."""


class InPieces:
    """x [N, C, H, W] -> network(x) [N, ...], `images` at a time, differentiable to the weights and once to x.

    For networks that treat each image by itself: no batch statistics, and no dropout, which the view leaves out.
    Weights pass through their parametrizations once a call, so that a spectral norm iterates once, as it does in a
    pass of the whole batch.
    """

    def __init__(self, network: nn.Module, images: int) -> None:
        self.view, self.images = FrozenView(network, channels_last=False), images
        self.view.network.to("meta")  # of the view only the structure is used

    def __call__(self, x: Tensor) -> Tensor:
        weights = self.view.present()

        def piece(part: Tensor) -> Tensor:
            return functional_call(self.view.network, weights, (part,))

        parts = [checkpoint(piece, p, use_reentrant=False, preserve_rng_state=False) for p in x.split(self.images)]
        return torch.cat(parts)

    @property
    def energy_head(self) -> nn.Module | None:
        """The live network's (see `EnergyNetwork`): it takes features, which are small, of the whole batch."""
        return self.view.original.energy_head  # type: ignore[return-value]


def divisible(network: nn.Module) -> bool:
    """Whether no layer of the network mixes the images of a batch. What functions do in its forward is not seen."""
    return not any(isinstance(m, MIXING) for m in network.modules())
