"""p(x | z): what the last layer's output [N, K, H, W] says of an image [N, C, H, W], x in [0, 1].

gaussian: a density on [0, 1]^D; mean and log standard deviation are given in [-1, 1], as NVAE does, and scaled.
logistic: a probability for each of the 256 values v of a pixel, that of the bin [v/256, (v+1)/256) under a logistic
    distribution, the outer bins reaching to -+ infinity (Salimans et al., ICLR 2017, equation 2); with more than one
    component a mixture of them. Channels are independent given z.
Log likelihoods are nats an image; a density exceeds the probability of its pixels by D log 256.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from baselines.vae.latents import log_normal, soft_clamp
from clel.bounds import require_ranges
from clel.config import require
from clel.data import to_uint8


@dataclass(frozen=True)
class DecoderConfig:
    """The distribution of an image given the latents."""

    kind: Literal["gaussian", "logistic"] = "gaussian"
    """gaussian: a density; logistic: discretised to 256 values. [VAEBM: gaussian; NVAE: a mixture of logistics]"""
    components: int = 1
    """Components of the mixture of logistics. [NVAE: 10]"""
    sigma: float | None = None
    """Fixed standard deviation of the Gaussian, pixel units; learned for each pixel where none. [NVAE: learned]"""
    min_log_sigma: float = -5.0
    """Least log standard deviation, in [-1, 1] units: below it sigma does not fall. [NVAE: -5; VAEBM's chains: -2]"""

    def __post_init__(self) -> None:
        require_ranges(self)
        require(
            self.components == 1 or self.kind == "logistic",
            f"components is {self.components} with a {self.kind} decoder; only kind logistic has more than one",
        )
        require(self.sigma is None or self.sigma > 0, f"sigma is {self.sigma}; expected a positive number, or none")
        require(
            self.sigma is None or self.kind == "gaussian",
            f"sigma is {self.sigma} with a {self.kind} decoder; its scales are learned",
        )

    def outputs(self, channels: int) -> int:
        """K, the channels of the last layer."""
        if self.kind == "gaussian":
            return channels * (1 if self.sigma is not None else 2)
        return channels * 3 * self.components


def pixel_gaussian(raw: Tensor, config: DecoderConfig) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation [N, C, H, W] in pixel units; the mean may leave [0, 1]."""
    if config.sigma is not None:
        mean = soft_clamp(raw)
        return (mean + 1) / 2, torch.full_like(mean, config.sigma)
    mean, log_std = soft_clamp(raw).chunk(2, dim=1)
    return (mean + 1) / 2, log_std.clamp(min=config.min_log_sigma).exp() / 2


def logistic_mixture(raw: Tensor, config: DecoderConfig) -> tuple[Tensor, Tensor, Tensor]:
    """Log weights, means and scales [N, C, M, H, W] of the logistic components, pixel units."""
    logits, mean, log_scale = raw.unflatten(1, (3, -1, config.components)).unbind(1)
    return logits.log_softmax(2), (mean + 1) / 2, log_scale.clamp(min=-7).exp() / 2


def log_likelihood(raw: Tensor, x: Tensor, config: DecoderConfig) -> Tensor:
    """log p(x | z) [N] in nats."""
    if config.kind == "gaussian":
        return log_normal(x, *pixel_gaussian(raw, config)).flatten(1).sum(1)
    weights, mean, scale = logistic_mixture(raw, config)
    return (weights + log_bin(to_uint8(x)[:, :, None], mean, scale)).logsumexp(2).flatten(1).sum(1)


def log_bin(v: Tensor, mean: Tensor, scale: Tensor) -> Tensor:
    """log( F((v + 1)/256) - F(v/256) ) for values v = 0 ... 255 and the logistic distribution function F.

    With a, b the bin's ends in scales from the mean, the difference of sigmoids is s(b) s(-a) (1 - exp(a - b)), which
    loses no digits in the tails.
    """
    low, high = ((v + end) / 256 for end in (0, 1))
    a, b = (low - mean) / scale, (high - mean) / scale
    inner = F.logsigmoid(b) + F.logsigmoid(-a) + torch.log(-torch.expm1(a - b))
    return torch.where(v == 0, F.logsigmoid(b), torch.where(v == 255, F.logsigmoid(-a), inner))


def image_mean(raw: Tensor, config: DecoderConfig) -> Tensor:
    """The mean of x given z, clamped to [0, 1]: [N, C, H, W]."""
    if config.kind == "gaussian":
        mean, _ = pixel_gaussian(raw, config)
    else:
        weights, means, _ = logistic_mixture(raw, config)
        mean = (weights.exp() * means).sum(2)
    return mean.clamp(0, 1)


def image_sample(raw: Tensor, noise: Tensor, config: DecoderConfig) -> Tensor:
    """x = mean + sigma noise, clamped to [0, 1], of a Gaussian decoder: differentiable in noise [N, C, H, W]."""
    mean, std = pixel_gaussian(raw, config)
    return (mean + std * noise).clamp(0, 1)
