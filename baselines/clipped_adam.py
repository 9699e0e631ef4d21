"""Adam at a constant rate whose gradients are clamped, element by element, by their own mean square (IGEBM's clipping).

With v the bias-corrected mean of g^2 that Adam has so far:   g <- clamp(g, -(3 sqrt(v) + 0.1), 3 sqrt(v) + 0.1)
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Adam, Optimizer
from torch.optim.lr_scheduler import LambdaLR

from clel.method import Optimisation


def clipped_adam(
    parameters: Iterable[Tensor], lr: float, betas: tuple[float, float], weight_decay: float, clip: bool = True
) -> Optimisation:
    """Adam, with the clamp before each step if `clip`; it needs no state but Adam's, so a resumed run goes on alike."""
    optimiser = Adam(list(parameters), lr=lr, betas=betas, weight_decay=weight_decay)
    if clip:
        optimiser.register_step_pre_hook(_before_step)
    return optimiser, LambdaLR(optimiser, lambda t: 1.0)


def _before_step(optimiser: Optimizer, *_: Any) -> None:
    clip_by_mean_square(optimiser)


@torch.no_grad()
def clip_by_mean_square(optimiser: Optimizer) -> None:
    """Clamp the present gradients; those of a parameter that has taken no step yet are left alone."""
    for group in optimiser.param_groups:
        for p in group["params"]:
            state = optimiser.state.get(p)
            if p.grad is not None and state:
                v = state["exp_avg_sq"] / (1 - group["betas"][1] ** state["step"])
                bound = 3 * v.sqrt() + 0.1
                p.grad.copy_(p.grad.clamp(-bound, bound))
