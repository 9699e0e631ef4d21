"""One group of latents: its prior N(mu, sigma^2) given the groups before it, and the posterior relative to that prior.

    q(z | x) = N(mu + dmu, (sigma dsigma)^2)
    KL(q || p) = 1/2 ( dmu^2 / sigma^2 + dsigma^2 - log dsigma^2 - 1 )     (Vahdat & Kautz, NeurIPS 2020, equation 2)
All are diagonal, element by element. mu, log sigma and their shifts are kept within +-5 by 5 tanh(./5). [authors' code]
"""

from __future__ import annotations

import math

import torch
from torch import Tensor


def soft_clamp(x: Tensor) -> Tensor:
    """5 tanh(x / 5): the identity near 0, within (-5, 5)."""
    return 5 * torch.tanh(x / 5)


def prior(parameters: Tensor) -> tuple[Tensor, Tensor]:
    """mu and log sigma, each [N, C, H, W], of a network's output [N, 2C, H, W]."""
    mean, log_std = soft_clamp(parameters).chunk(2, dim=1)
    return mean, log_std


def residual_posterior(mean: Tensor, log_std: Tensor, parameters: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
    """z = mu + dmu + sigma dsigma noise [N, C, H, W] and KL(q || p) [N], for dmu, log dsigma from a network's output.

    Args:
        mean, log_std: the prior's [N, C, H, W].
        parameters: [N, 2C, H, W], before the soft clamp.
        noise: N(0, I) [N, C, H, W].
    """
    shift, log_ratio = soft_clamp(parameters).chunk(2, dim=1)
    z = mean + shift + (log_std + log_ratio).exp() * noise
    return z, residual_kl(shift, log_ratio, log_std)


def absolute_posterior(mean: Tensor, log_std: Tensor, parameters: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
    """The same where the network gives the posterior's own mean and log standard deviation."""
    own_mean, own_log_std = soft_clamp(parameters).chunk(2, dim=1)
    z = own_mean + own_log_std.exp() * noise
    return z, residual_kl(own_mean - mean, own_log_std - log_std, log_std)


def residual_kl(shift: Tensor, log_ratio: Tensor, log_std: Tensor) -> Tensor:
    """KL(q || p) [N] in nats, summed over the group, of dmu, log dsigma and log sigma [N, C, H, W]."""
    kl = 0.5 * ((shift / log_std.exp()).square() + (2 * log_ratio).exp() - 1) - log_ratio
    return kl.flatten(1).sum(1)


def log_normal(x: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """log N(x; mean, std^2), element by element."""
    return -0.5 * ((x - mean) / std).square() - std.log() - 0.5 * math.log(2 * math.pi)
