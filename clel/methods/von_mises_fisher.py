"""Draws from the von Mises-Fisher distribution on the unit sphere, p(z) ~ exp(kappa u.z), by Wood's rejection."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor


@torch.no_grad()
def draw_latents(u: Tensor, kappa: float, generator: torch.Generator) -> Tensor:
    """One z [N, d] for each unit vector u [N, d]: z = w u + sqrt(1 - w^2) v, v uniform among the unit vectors across u.

    w = u.z has the density (1 - w^2)^((d-3)/2) exp(kappa w). kappa >= 0; at 0 z is uniform on the sphere. d >= 2.
    (Wood, Simulation of the von Mises Fisher distribution, 1994, algorithm VM*.)
    """
    n, d = u.shape
    b = (math.sqrt(4 * kappa**2 + (d - 1) ** 2) - 2 * kappa) / (d - 1)
    x = (1 - b) / (1 + b)
    c = kappa * x + (d - 1) * math.log(1 - x**2)
    w = torch.zeros(n, dtype=torch.float64, device=u.device)
    waiting = torch.ones(n, dtype=torch.bool, device=u.device)
    while bool(waiting.any()):
        # (1 + s_1) / 2 is Beta((d-1)/2, (d-1)/2), whose draws torch makes without a generator
        s = torch.randn(n, d, dtype=torch.float64, device=u.device, generator=generator)
        y = (1 + F.normalize(s, dim=1)[:, 0]) / 2
        proposed = (1 - (1 + b) * y) / (1 - (1 - b) * y)
        threshold = torch.rand(n, dtype=torch.float64, device=u.device, generator=generator).log()
        accepted = kappa * proposed + (d - 1) * torch.log1p(-x * proposed) - c >= threshold
        w = torch.where(waiting & accepted, proposed, w)
        waiting = waiting & ~accepted
    v = torch.randn(n, d, dtype=torch.float64, device=u.device, generator=generator)
    axis = u.double()
    across = F.normalize(v - (v * axis).sum(1, keepdim=True) * axis, dim=1)
    return (w[:, None] * axis + (1 - w.square()).clamp(min=0).sqrt()[:, None] * across).to(u.dtype)
