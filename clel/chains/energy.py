"""The energy of chains: the live network's or a frozen view's, and the input gradient that switches ask for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from clel.chains.compiled import Compiled
from clel.chains.langevin import autograd_gradient
from clel.chains.switches import Switches
from clel.networks.frozen import FrozenView

NetworkEnergy = Callable[[nn.Module, Tensor], Tensor]
"""(network, images [N, C, H, W]) -> energies [N]."""


class HandGradient(Protocol):
    """dE/dx by a method's own code, for weights that `refresh` takes over."""

    def refresh(self) -> None: ...

    def __call__(self, x: Tensor) -> Tensor: ...


class ChainEnergy:
    """E(x) [N] and `gradient`, dE/dx, of one network under given switches; `refresh` takes its present weights over.

    Args:
        network: the live one.
        energy: its energy, of it or of its view.
        by_hand: (folded float32 network, number format, whether in pieces) -> its gradient, or None to use autograd.
    """

    def __init__(
        self,
        network: nn.Module,
        energy: NetworkEnergy,
        switches: Switches,
        by_hand: Callable[[nn.Module, torch.dtype, bool], HandGradient | None],
    ) -> None:
        self.live, self.energy, self.switches = network, energy, switches
        self.device = next(network.parameters()).device
        self.view: FrozenView | None = None
        self.hand: HandGradient | None = None
        self.own_gradient: Callable[[Tensor], Tensor] | None = None
        if not switches.frozen:
            return
        if switches.by_hand:
            self.view = FrozenView(network)
            self.hand = by_hand(self.view.network, switches.chain_dtype, switches.in_pieces)
        if self.hand is None:
            self.view = FrozenView(network, switches.chain_dtype)
        else:
            self.own_gradient = Compiled(self.hand) if switches.compiled else self.hand

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
                return self.energy(self.live, x)
        dtype = torch.float32 if self.hand is not None else self.switches.chain_dtype
        return self.energy(self.view.network, x.to(dtype, memory_format=self.layout))

    @property
    def layout(self) -> torch.memory_format:
        return torch.channels_last if self.switches.channels_last else torch.preserve_format

    def gradient(self, x: Tensor) -> Tensor:
        """dE(x_i)/dx_i for each image: [N, C, H, W], in x's format; no parameter receives a gradient."""
        return autograd_gradient(self, x) if self.own_gradient is None else self.own_gradient(x)


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
