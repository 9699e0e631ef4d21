"""The energy of chains: E(x) and its input gradient, of the live network or of a frozen view, as switches ask for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from clel.chains.compiled import Compiled
from clel.chains.switches import Switches
from clel.networks.frozen import FrozenView


class HandGradient(Protocol):
    """dE/dx by a method's own code, for weights that `refresh` takes over."""

    def refresh(self) -> None: ...

    def __call__(self, x: Tensor) -> Tensor: ...


class Energy:
    """E: images [N, C, H, W] -> unnormalised negative log densities [N], and dE/dx.

    Args:
        function: E; a class derived from this one may define `__call__` instead.
    """

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        self.function = function

    def __call__(self, x: Tensor) -> Tensor:
        return self.function(x)

    def gradient(self, x: Tensor) -> Tensor:
        """dE(x_i)/dx_i for each image: [N, C, H, W], in x's format; no parameter receives a gradient. By autograd."""
        with torch.enable_grad():
            x = x.detach().requires_grad_(True)
            (gradient,) = torch.autograd.grad(self(x).sum(), x)
        return gradient

    def by_hand(self, dtype: torch.dtype, in_pieces: bool) -> HandGradient | None:
        """dE/dx by code of its own in number format `dtype`, for a folded float32 network; None: by autograd."""
        return None


class ChainEnergy(Energy):
    """E of one network, as chains see it under given switches; `refresh` takes the network's present weights over.

    Args:
        network: the live one.
        energy_of: network, the live one or its view -> its energy.
    """

    def __init__(self, network: nn.Module, energy_of: Callable[[nn.Module], Energy], switches: Switches) -> None:
        self.live, self.switches = network, switches
        self.device = next(network.parameters()).device
        self.view: FrozenView | None = None
        self.hand: HandGradient | None = None
        self.own_gradient: Callable[[Tensor], Tensor] | None = None
        if switches.frozen:
            self.view = FrozenView(network)
            if switches.by_hand:
                self.hand = energy_of(self.view.network).by_hand(switches.chain_dtype, switches.in_pieces)
            if self.hand is None:
                self.view = FrozenView(network, switches.chain_dtype)
            else:
                self.own_gradient = Compiled(self.hand) if switches.compiled else self.hand
        self.energy = energy_of(self.network)

    @property
    def network(self) -> nn.Module:
        """The network that chains run on."""
        return self.live if self.view is None else self.view.network

    def refresh(self) -> ChainEnergy:
        """The energy of the network's present weights, until the next call; one power iteration in training mode."""
        if self.view is not None:
            self.view.refresh()
        if self.hand is not None:
            self.hand.refresh()
        return self

    def __call__(self, x: Tensor) -> Tensor:
        if self.view is None:
            with as_in_chains(self.live):
                return self.energy(x)
        dtype = torch.float32 if self.hand is not None else self.switches.chain_dtype
        return self.energy(x.to(dtype, memory_format=self.layout))

    @property
    def layout(self) -> torch.memory_format:
        return torch.channels_last if self.switches.channels_last else torch.preserve_format

    def gradient(self, x: Tensor) -> Tensor:
        """dE/dx, by hand where the energy has that and the switches ask for it."""
        return super().gradient(x) if self.own_gradient is None else self.own_gradient(x)


@contextmanager
def as_in_chains(network: nn.Module) -> Iterator[None]:
    """Inside, layers are in evaluation mode (no dropout) and spectral norms as they were: in training they iterate."""
    modes = {m: m.training for m in network.modules()}
    kept = {m for p in modes if isinstance(p, parametrize.ParametrizationList) for m in p.modules()}
    try:
        for module in modes:
            if module not in kept:
                module.training = False
        yield
    finally:
        for module, mode in modes.items():
            module.training = mode
