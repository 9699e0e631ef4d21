"""BYOL, an objective of the encoder without negatives (Grill et al., NeurIPS 2020): equations 1 to 3.

    L = mean( 2 - 2 q(h(v)).xi(v') / (|q(h(v))| |xi(v')|) ) + the same with the two views v, v' exchanged
q is a predictor, trained with h; xi is the target network, a copy of h that follows it: xi <- tau xi + (1 - tau) h.
"""

from __future__ import annotations

import copy

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from clel.networks.encoder import Encoder
from clel.networks.energy_network import outside_autocast


class Byol(nn.Module):
    """The predictor q and the target network xi of an encoder.

    xi's weights are buffers: they are part of a checkpoint, no optimiser has them, and the average of weights, which is
    of parameters, leaves them out. xi sees batches by their own statistics, as h does.
    """

    def __init__(self, encoder: Encoder, features: int, hidden: int, decay: float) -> None:
        super().__init__()
        self.decay = decay
        self.target = as_buffers(copy.deepcopy(encoder))
        self.predictor = nn.Sequential(
            nn.Linear(features, hidden, bias=False),  # the batch norm has one
            nn.BatchNorm1d(hidden),
            nn.ReLU(),
            nn.Linear(hidden, features),
        )

    @torch.no_grad()
    def follow(self, encoder: Encoder) -> None:
        """xi <- tau xi + (1 - tau) h. Called when a step begins, which is after the optimiser's of the step before."""
        live = dict(encoder.named_parameters())
        held = dict(self.target.named_buffers())
        torch._foreach_lerp_([held[name] for name in live], [p.detach() for p in live.values()], 1 - self.decay)

    def loss(self, h: Tensor, targets: Tensor) -> Tensor:
        """L, a scalar in [0, 8], of h(v) and xi(v) [2n, d] each: n first views, then the second of the same images."""
        exchanged = targets.roll(len(targets) // 2, 0)
        return 2 * (2 - 2 * F.cosine_similarity(outside_autocast(self.predictor, h), exchanged, dim=1)).mean()


def as_buffers(module: nn.Module) -> nn.Module:
    """The module with each parameter turned into a buffer of the same name and values."""
    for inner in module.modules():
        for name, parameter in list(inner.named_parameters(recurse=False)):
            delattr(inner, name)
            inner.register_buffer(name, parameter.detach().clone())
    return module
