"""The VAE's objective: KL warm-up and balancing between groups, learning-rate schedule (NVAE; 2007.03898, appendix A).

While the coefficient beta of the KL term rises to 1, each group's term has a weight of its own,
    gamma_l = a_l / mean_m(a_m),   a_l = (mean |KL_l| + 0.01) n_s / 4^s
for group l at scale s = 0 (coarsest), 1, ... of n_s groups, so that a group about to die costs less. At beta = 1 all
weights are 1, and the objective is the ELBO.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor


def kl_coefficient(step: Tensor, warmup: int, least: float) -> Tensor:
    """beta = min(1, max(least, step / warmup)) of iteration `step` = 0, 1, ..., a scalar on its device; 1 without."""
    if warmup == 0:
        return torch.ones((), device=step.device)
    return (step / warmup).clamp(least, 1.0)


def group_sizes(groups: Sequence[int], device: torch.device) -> Tensor:
    """4^s / n_s of each group [L], divided by the least of them. [authors' code, which calls it square]"""
    sizes = [4.0**scale / count for scale, count in enumerate(groups) for _ in range(count)]
    # filled on the device: one tensor of them all would be copied there, which the host waits for
    return torch.stack([torch.full((), size, device=device) for size in sizes]) / min(sizes)


def balanced_kl(kls: Sequence[Tensor], groups: Sequence[int], beta: Tensor, balance: bool) -> Tensor:
    """beta sum_l gamma_l KL_l [N] of the groups' KL_l [N]; gamma takes no part in the gradient."""
    kl = torch.stack(list(kls), dim=1)
    if not balance:
        return beta * kl.sum(1)
    weights = (kl.detach().abs().mean(0) + 0.01) / group_sizes(groups, kl.device)
    weights = weights / weights.mean()
    return beta * (torch.where(beta < 1, weights, torch.ones_like(weights)) * kl).sum(1)


def cosine_factor(iterations: int, warmup: int, least: float) -> Callable[[int], float]:
    """t -> factor of the learning rate: (t + 1) / warmup at first, then a cosine from 1 to `least` at the end."""

    def factor(t: int) -> float:
        if t < warmup:
            return (t + 1) / warmup
        share = min(1.0, (t - warmup) / max(1, iterations - warmup))
        return least + (1 - least) * 0.5 * (1 + math.cos(math.pi * share))

    return factor
