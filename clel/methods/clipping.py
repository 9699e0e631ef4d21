"""Gradients of weights clamped, element by element, by the mean square that Adam has of them.

With v the mean of g^2 over the t - 1 steps before step t:   g <- clamp(g, -b, b),   b = k sqrt(v / (1 - beta2^s)) + c
    IGEBM's release   k = 3, c = 0.1, s = t        (0.1 in the first step)
    VAEBM's release   k = 3, c = 0.1, s = t - 1    (no clamp in the first step)
    this suite        c = 0,          s = t - 1    (nor of an element whose gradient has always been 0)
"""

from __future__ import annotations

from typing import Any

import torch
from torch.optim import Optimizer


def clip_before_steps(optimiser: Optimizer, times: float = 3.0, spare: float = 0.0, ahead: int = 0) -> None:
    """Clamp the gradients before each step of an Adam, by its own state alone: a resumed run goes on alike."""

    def before_step(optimiser: Optimizer, *_: Any) -> None:
        clip_by_mean_square(optimiser, times, spare, ahead)

    optimiser.register_step_pre_hook(before_step)


@torch.no_grad()
def clip_by_mean_square(optimiser: Optimizer, times: float = 3.0, spare: float = 0.0, ahead: int = 0) -> None:
    """Clamp the present gradients.

    Args:
        times: k.
        spare: c.
        ahead: s - (t - 1): 1 to count the step about to be taken in the bias correction, 0 not to.
    """
    for group in optimiser.param_groups:
        for p in group["params"]:
            state = optimiser.state.get(p)
            if p.grad is None:
                continue
            if state:
                v = state["exp_avg_sq"] / (1 - group["betas"][1] ** (state["step"] + ahead))
                bound = times * v.sqrt() + spare
                if not spare:
                    bound = bound.masked_fill(v == 0, torch.inf)
                p.grad.copy_(p.grad.clamp(-bound, bound))
            elif ahead:
                p.grad.clamp_(-spare, spare)
