"""Adam whose gradients are clamped, element by element, by their own mean square: IGEBM's release, VAEBM's after it.

With v the mean of g^2 that Adam has of the t - 1 steps before step t:   g <- clamp(g, -b, b)
    IGEBM   b = 3 sqrt(v / (1 - beta2^t)) + 0.1,         so 0.1 in the first step
    VAEBM   b = 3 sqrt(v / (1 - beta2^(t - 1))) + 0.1,   none in the first step
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Adam, Optimizer
from torch.optim.lr_scheduler import LambdaLR

from clel.methods.method import Optimisation


def clipped_adam(
    parameters: Iterable[Tensor], lr: float, betas: tuple[float, float], weight_decay: float, clip: bool = True
) -> Optimisation:
    """VAEBM's: Adam at a constant rate, with the clamp before each step if `clip`."""
    optimiser = Adam(list(parameters), lr=lr, betas=betas, weight_decay=weight_decay)
    if clip:
        clip_before_steps(optimiser, ahead=0)
    return optimiser, LambdaLR(optimiser, lambda t: 1.0)


def clip_before_steps(optimiser: Optimizer, ahead: int) -> None:
    """Clamp the gradients before each step of an Adam, by its own state alone: a resumed run goes on alike."""

    def before_step(optimiser: Optimizer, *_: Any) -> None:
        clip_by_mean_square(optimiser, ahead)

    optimiser.register_step_pre_hook(before_step)


@torch.no_grad()
def clip_by_mean_square(optimiser: Optimizer, ahead: int = 0) -> None:
    """Clamp the present gradients.

    Args:
        ahead: 1 to count the step about to be taken in the bias correction (IGEBM), 0 not to (VAEBM).
    """
    for group in optimiser.param_groups:
        for p in group["params"]:
            state = optimiser.state.get(p)
            if p.grad is None:
                continue
            if state:
                v = state["exp_avg_sq"] / (1 - group["betas"][1] ** (state["step"] + ahead))
                bound = 3 * v.sqrt() + 0.1
                p.grad.copy_(p.grad.clamp(-bound, bound))
            elif ahead:
                p.grad.clamp_(-0.1, 0.1)
