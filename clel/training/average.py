"""The exponential moving average of a method's weights, by images seen."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

POWER_ITERATIONS = 20
"""Forward evaluations of each parametrised weight after a swap: u, v of the live weights are a warm start only."""


class Average:
    """theta_ema <- d theta_ema + (1 - d) theta, d = 0.5^(images / half-life); a copy until one half-life was seen.

    Only parameters are averaged. Buffers (batch-norm statistics, spectral norm's u and v) stay the live ones, and u and
    v are brought up to date for the averaged weights when these are swapped in: averaging them would underestimate the
    singular values. Updated after the optimiser's step (the authors': before it).
    """

    def __init__(self, module: nn.Module, half_life: float) -> None:
        self.half_life = half_life
        self.shadow = {name: p.detach().clone() for name, p in module.named_parameters()}

    def decay(self, images: int, seen: int) -> float:
        """d for an update after `images` more images, `seen` in all; 0 until one half-life was seen."""
        if seen <= self.half_life or self.half_life == 0:
            return 0.0
        return 0.5 ** (images / self.half_life)

    @torch.no_grad()
    def update(self, module: nn.Module, images: int, seen: int) -> None:
        """Move the average towards the module's parameters."""
        live = [p.detach() for p in module.parameters()]
        torch._foreach_lerp_(list(self.shadow.values()), live, 1 - self.decay(images, seen))

    @contextmanager
    def swapped_in(self, module: nn.Module) -> Iterator[None]:
        """Inside, the module has the averaged weights and is in evaluation mode; afterwards all is as it was."""
        modes = {m: m.training for m in module.modules()}
        moving = _moving(module)
        kept = {n: b.detach().clone() for n, b in module.named_buffers() if n.startswith(moving)}
        live = {n: p.detach().clone() for n, p in module.named_parameters()}
        try:
            self.copy_to(module)
            yield
        finally:
            _assign(dict(module.named_parameters()), live)
            _assign(dict(module.named_buffers()), kept)
            for m, mode in modes.items():
                m.training = mode

    def copy_to(self, module: nn.Module) -> None:
        """Give the module the averaged weights for good, spectral norm refreshed, and set it to evaluation mode."""
        _assign(dict(module.named_parameters()), self.shadow)
        refresh_parametrizations(module)
        module.eval()

    def state_dict(self) -> dict[str, Tensor]:
        """The averaged parameters by name."""
        return self.shadow

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Copy averaged parameters in.

        Raises:
            ValueError: names or shapes are not the module's.
        """
        given, own = ({name: tuple(t.shape) for name, t in tensors.items()} for tensors in (state, self.shadow))
        if given != own:
            odd = sorted(given.items() ^ own.items())[:3]
            raise ValueError(f"these averaged weights belong to another network; differing: {odd}")
        _assign(self.shadow, state)


@torch.no_grad()
def refresh_parametrizations(module: nn.Module, iterations: int = POWER_ITERATIONS) -> None:
    """Let each parametrised tensor settle: in training mode spectral norm makes a power iteration at each call."""
    for m in module.modules():
        if parametrize.is_parametrized(m):
            m.train()
            for _ in range(iterations):
                for name in m.parametrizations:  # type: ignore[union-attr]
                    getattr(m, name)


def _moving(module: nn.Module) -> tuple[str, ...]:
    """Prefixes of the buffers that `swapped_in` may change: those of parametrizations, not the replay buffer."""
    return tuple(f"{n}." if n else "" for n, m in module.named_modules() if parametrize.is_parametrized(m)) or ("\0",)


@torch.no_grad()
def _assign(target: dict[str, Tensor], source: dict[str, Tensor]) -> None:
    for name, value in source.items():
        target[name].copy_(value)
