"""Noise levels of diffusion recovery likelihood (Gao et al., ICLR 2021, T6): a coarse walk along DDPM's schedule.

States x_0, ..., x_T are ever noisier images in [-1, 1]; n, n' are standard normal:
    x_t     = abar_t x + sbar_t n                  from the data x
    x_{t+1} = a_{t+1} x_t + sigma_{t+1} n'         from the state before
with a^2 + sigma^2 = 1 and abar^2 + sbar^2 = 1. x_0 has a little noise itself, x_T is nearly all noise.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

DDPM_STEPS = 1000
"""Steps of the fine schedule. [Ho et al. 2020]"""
DDPM_BETAS = (1e-4, 0.02)
"""First and last beta of the fine schedule, which grow linearly in between. [Ho et al. 2020]"""


def state_steps(levels: int) -> list[int]:
    """Fine steps at which the T + 1 states lie: 0, d, ..., (T - 1) d with d = floor(500 / (T - 1)), and 999.

    The T states before the last share the lower half of the schedule; from there to x_T is one long step.
    """
    apart = DDPM_STEPS // (2 * (levels - 1))
    return [*range(0, levels * apart, apart), DDPM_STEPS - 1]


def state_scales(levels: int) -> Tensor:
    """a_0, ..., a_T: float64 [T + 1], a_i^2 the product of 1 - beta over the fine steps since the state before."""
    alphas = 1 - torch.linspace(*DDPM_BETAS, DDPM_STEPS, dtype=torch.float64)
    at = alphas.cumprod(0)[state_steps(levels)]
    before = torch.cat([at.new_ones(1), at[:-1]])
    return (at / before).sqrt()


class NoiseLevels(nn.Module):
    """What the T transitions x_{t+1} -> x_t need, as buffers [T] indexed by t = 0 (least noise), ..., T - 1.

    Attributes:
        a, sigma: a_{t+1} and sigma_{t+1}.
        abar, sbar: of x_t.
        scale: a_{t+1}, and 1 for t = T - 1: the network sees y_t = scale x_t.
        pull: 1, and 0 for t = T - 1: whether the conditional has its quadratic term.
        step: s_t, with s_t^2 = b^2 (sbar_t / sbar_0) sigma_{t+1}^2.
        weight: sigma_1 / sigma_{t+1}, of the loss.
    """

    a: Tensor
    sigma: Tensor
    abar: Tensor
    sbar: Tensor
    scale: Tensor
    pull: Tensor
    step: Tensor
    weight: Tensor

    def __init__(self, levels: int, step_variance: float) -> None:
        super().__init__()
        states = state_scales(levels)
        a, abar = states[1:], states.cumprod(0)[:-1]
        sigma, sbar = (1 - a.square()).sqrt(), (1 - abar.square()).sqrt()
        inner = torch.arange(levels) < levels - 1
        values = {
            "a": a,
            "sigma": sigma,
            "abar": abar,
            "sbar": sbar,
            "scale": torch.where(inner, a, 1.0),
            "pull": inner,
            "step": (step_variance * sbar / sbar[0]).sqrt() * sigma,
            "weight": sigma[0] / sigma,
        }
        for name, value in values.items():
            self.register_buffer(name, value.float(), persistent=False)

    def __len__(self) -> int:
        return len(self.a)


def per_image(values: Tensor, t: Tensor) -> Tensor:
    """values[t] of images' levels t [N], shaped [N, 1, 1, 1] to multiply images with."""
    return values[t].view(-1, 1, 1, 1)


def even_parts(steps: int, levels: int) -> list[int]:
    """`steps` in `levels` whole parts that differ by at most one."""
    return [steps * (k + 1) // levels - steps * k // levels for k in range(levels)]
