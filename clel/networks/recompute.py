"""Layers computed again in the backward pass: memory for time, with batch norm's running statistics moved once."""

from __future__ import annotations

from contextlib import nullcontext

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint


class Recomputed(nn.Module):
    """A module x -> compute(x) whose activations, where `recompute` is set, are not kept but computed again on the way
    back: between the two passes it holds x alone.

    Batch norms then see the same batch and leave their running statistics alone, so that these move once a pass.
    """

    recompute = False

    def compute(self, x: Tensor) -> Tensor:
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        if not (self.recompute and torch.is_grad_enabled()):
            return self.compute(x)
        contexts = lambda: (nullcontext(), frozen_statistics(self))  # noqa: E731
        return checkpoint(self.compute, x, use_reentrant=False, context_fn=contexts, preserve_rng_state=False)


class RecomputedStage(Recomputed, nn.Sequential):
    """Layers one after the other."""

    def compute(self, x: Tensor) -> Tensor:
        return nn.Sequential.forward(self, x)


def recompute(module: nn.Module, on: bool) -> None:
    """Set `recompute` of every Recomputed inside."""
    for m in module.modules():
        if isinstance(m, Recomputed):
            m.recompute = on


class frozen_statistics:
    """Inside, batch-norm layers use the batch's statistics and leave their running ones alone."""

    def __init__(self, module: nn.Module) -> None:
        self.layers = [m for m in module.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]

    def __enter__(self) -> None:
        self.saved = [(m.momentum, m.num_batches_tracked) for m in self.layers]
        for m in self.layers:  # without the buffers fewer tensors would be saved for the backward pass than before
            m.momentum, m.num_batches_tracked = 0.0, None

    def __exit__(self, *error: object) -> None:
        for m, (momentum, count) in zip(self.layers, self.saved, strict=True):
            m.momentum, m.num_batches_tracked = momentum, count
