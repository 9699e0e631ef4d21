"""A frozen view of a network for sampling: parametrised tensors (spectral norm, weight norm) folded into plain ones.

Sampling takes tens of input gradients between two updates of the weights. The view pays for spectral normalisation once
per update instead of in every step, builds no graph towards the weights, and keeps the energy still under the chain.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import nn
from torch.nn.utils import parametrize


class FrozenView:
    """A plain, gradient-free, evaluation-mode copy of `network`; `refresh` copies the present weights in.

    The modules of the original are looked up once: a submodule that is replaced afterwards wants a new view.

    Attributes:
        network: the copy; call it (or its methods) instead of the original.
        device: where it lies; a network that moved to another wants a new view.
    """

    def __init__(self, network: nn.Module, dtype: torch.dtype = torch.float32, channels_last: bool = True) -> None:
        # Removing parametrizations from a deep copy would break the original, with which it shares a generated class;
        # so each parametrised module of the copy is replaced by a new one of its original class instead.
        self.network = _fold(copy.deepcopy(network)).requires_grad_(False).eval()
        self.network.to(dtype)
        if channels_last:
            self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        # not a registered submodule of anything: the original keeps its place in the method's state
        self.original = network
        self._tensors = [
            (path, self.original.get_submodule(path.rpartition(".")[0]), path.rpartition(".")[2], target)
            for path, target in (*self.network.named_parameters(), *self.network.named_buffers())
        ]
        self.device = next(self.network.parameters()).device

    @torch.no_grad()
    def refresh(self) -> nn.Module:
        """Copy every weight and buffer of the original, through its parametrizations, into the view; returns it.

        In training mode a spectrally normalised weight makes one power iteration here. Static memory: nothing moves.
        """
        # a parametrised tensor is computed by this look-up, so the modules are kept and not what they held
        for _, module, name, target in self._tensors:
            target.copy_(getattr(module, name))
        return self.network

    def present(self) -> dict[str, torch.Tensor]:
        """Every weight and buffer of the original, through its parametrizations, by its name in the view."""
        return {path: getattr(module, name) for path, module, name, _ in self._tensors}


def _fold(module: nn.Module) -> nn.Module:
    for name, child in module.named_children():
        setattr(module, name, _fold(child))
    if not parametrize.is_parametrized(module):
        return module
    original: Any = type(module).__bases__[0]
    plain: Any = original.__new__(original)
    nn.Module.__init__(plain)
    state = ("_parameters", "_buffers", "_modules")
    plain.__dict__.update({k: v for k, v in module.__dict__.items() if k not in state})
    for name, parameter in module._parameters.items():
        plain.register_parameter(name, parameter)
    for name, buffer in module._buffers.items():
        plain.register_buffer(name, buffer)
    for name, inner in module._modules.items():
        if name != "parametrizations":
            plain.add_module(name, inner)
    for name in module.parametrizations:  # type: ignore[union-attr]
        plain.register_parameter(name, nn.Parameter(getattr(module, name).detach().clone()))
    return plain
