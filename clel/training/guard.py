"""The divergence guard: non-finite values and runaway energies are noticed on the device, without a wait each step."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor


class Guard:
    """Remembers since the last `reset` whether a scalar was not finite or an "energy..." lay beyond +- max_energy.

    Attributes:
        bad: bool scalar on the device; always false where a checkpoint is written.
    """

    def __init__(self, max_energy: float, device: torch.device) -> None:
        self.max_energy = max_energy
        self.bad = torch.zeros((), dtype=torch.bool, device=device)

    @torch.no_grad()
    def observe(self, losses: Mapping[str, Tensor]) -> None:
        """Take note of one iteration's scalars. NaN compares as false with everything, so each test is of the good."""
        values = torch.stack([value.detach().float() for value in losses.values()])
        good = values.isfinite().all()
        energies = [value.detach().float() for name, value in losses.items() if name.startswith("energy")]
        if energies:
            good &= (torch.stack(energies).abs() <= self.max_energy).all()
        self.bad |= ~good

    def reset(self) -> None:
        """Forget."""
        self.bad.zero_()
