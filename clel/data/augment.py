"""Random augmentations t ~ T of image batches: each image draws its own parameters, outputs are clamped to [0, 1].

The set of SimCLR without blur, as CLEL uses it: random resized crop, horizontal flip, colour jitter, colour dropping.
One bicubic resampling applies crop and flip. Jitter has two styles: torchvision's, as SimCLR has it, and that of kornia
0.6.3, which the authors' code uses.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from clel.bounds import require_ranges
from clel.config import ADDED, require


@dataclass(frozen=True)
class AugmentConfig:
    """One augmentation pipeline; the defaults do nothing."""

    crop_scale: tuple[float, float] = (1.0, 1.0)
    """Area of the crop as a share of the image's, uniform between the two. [SimCLR: 0.08 to 1]"""
    crop_ratio: tuple[float, float] = (3 / 4, 4 / 3)
    """Width over height of the crop, log-uniform between the two. [torchvision's RandomResizedCrop]"""
    flip: float = 0.0
    """Probability of a horizontal flip. [SimCLR: 0.5]"""
    jitter: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)
    """Strengths of brightness, contrast, saturation (factors in 1 +- s) and hue (turns in +- s). [.4, .4, .4, .1]"""
    jitter_probability: float = 0.0
    """Probability that an image is jittered. [SimCLR: 0.8]"""
    grey: float = 0.0
    """Probability that an image loses its colours. [SimCLR: 0.2]"""
    apply: float = 1.0
    """Probability that an image is augmented at all. [this suite; 1 in the authors' code]"""
    style: Literal["simclr", "kornia"] = field(default="simclr", metadata=ADDED)
    """Form of the jitter: simclr (factors, in a fixed order) or kornia (0.6.3). [SimCLR; kornia in CLEL's code]"""

    def __post_init__(self) -> None:
        low, high = self.crop_scale
        require_ranges(self)
        require(0 < low <= high <= 1, f"crop_scale is {self.crop_scale}; expected 0 < low <= high <= 1")
        require(0 < self.crop_ratio[0] <= self.crop_ratio[1], f"crop_ratio is {self.crop_ratio}; expected low <= high")
        for name in ("flip", "jitter_probability", "grey", "apply"):
            require(0 <= getattr(self, name) <= 1, f"{name} is {getattr(self, name)}; expected a probability")
        require(min(self.jitter) >= 0 and max(self.jitter[:3]) <= 1, f"jitter is {self.jitter}; expected 0 to 1")
        require(self.jitter[3] <= 0.5, f"jitter is {self.jitter}; hue is at most 0.5 turns")


NONE = AugmentConfig()
WEAK = AugmentConfig(crop_scale=(0.6, 1.0), flip=0.5)
STRONG = AugmentConfig(
    crop_scale=(0.08, 1.0), flip=0.5, jitter=(0.4, 0.4, 0.4, 0.1), jitter_probability=0.8, grey=0.2, style="kornia"
)
"""The authors' strong augmentation (CLEL Appendix B; values from their code)."""


def augment(x: Tensor, config: AugmentConfig, generator: torch.Generator) -> Tensor:
    """t(x): images [N, C, H, W] in [0, 1] -> the same shape and range, a draw of t for each image.

    Colour operations beyond brightness and contrast leave one-channel images as they are. The style kornia draws one
    order of its operations for all N.
    """
    if config.apply == 0:
        return x
    y = crop_and_flip(x, config, generator)
    if config.jitter_probability > 0:
        chosen = _bernoulli(x, config.jitter_probability, generator)
        y = torch.where(chosen, JITTERS[config.style](y, config.jitter, generator), y)
    if config.grey > 0 and x.shape[1] == 3:
        y = torch.where(_bernoulli(x, config.grey, generator), luminance(y).expand_as(y), y)
    if config.apply < 1:
        y = torch.where(_bernoulli(x, config.apply, generator), y, x)
    return y


def crop_and_flip(x: Tensor, config: AugmentConfig, generator: torch.Generator) -> Tensor:
    """Random crops of area a and aspect ratio r, resized bicubically to the image's size, then flips."""
    n, _, height, width = x.shape
    if config.crop_scale == (1.0, 1.0) and config.flip == 0:
        return x
    low, high = config.crop_scale
    area = low + (high - low) * _uniform(x, generator)
    ratio = torch.exp(math.log(config.crop_ratio[0]) + _uniform(x, generator) * math.log(_spread(config)))
    # at area 1 any ratio but 1 would leave the image, so the sides are cut there
    w, h = (area * ratio).sqrt().clamp(max=1), (area / ratio).sqrt().clamp(max=1)
    if config.crop_scale == (1.0, 1.0):
        w = h = torch.ones_like(area)
    left, top = (1 - w) * _uniform(x, generator), (1 - h) * _uniform(x, generator)
    sign = 1 - 2 * _bernoulli(x, config.flip, generator).float().flatten()
    # output coordinate s in [-1, 1] reads the input at centre + half side * s, in grid_sample's units
    theta = torch.zeros(n, 2, 3, device=x.device)
    theta[:, 0, 0], theta[:, 0, 2] = w * sign, 2 * left + w - 1
    theta[:, 1, 1], theta[:, 1, 2] = h, 2 * top + h - 1
    grid = F.affine_grid(theta, [n, 1, height, width], align_corners=False).to(x.dtype)
    return F.grid_sample(x, grid, mode="bicubic", padding_mode="reflection", align_corners=False).clamp(0, 1)


def mirror(x: Tensor, generator: torch.Generator) -> Tensor:
    """Images [N, C, H, W], each left to right with probability 1/2: pixels are moved, not sampled anew."""
    return torch.where(_bernoulli(x, 0.5, generator), x.flip(3), x)


def jitter(x: Tensor, strengths: tuple[float, float, float, float], generator: torch.Generator) -> Tensor:
    """Brightness, contrast, saturation and hue, each with a factor (hue: an angle) drawn for each image."""
    brightness, contrast, saturation, hue = strengths
    x = (x * _factor(x, brightness, generator)).clamp(0, 1)
    mean = luminance(x).mean((2, 3), keepdim=True)
    x = (mean + (x - mean) * _factor(x, contrast, generator)).clamp(0, 1)
    if x.shape[1] == 3:
        grey = luminance(x)
        x = (grey + (x - grey) * _factor(x, saturation, generator)).clamp(0, 1)
        x = rotate_hue(x, hue * (2 * _uniform(x, generator).view(-1, 1, 1) - 1))
    return x


def kornia_jitter(x: Tensor, strengths: tuple[float, float, float, float], generator: torch.Generator) -> Tensor:
    """The jitter of kornia 0.6.3: factors (hue: an angle) drawn for each image, the order once for all of them.

    Brightness x + (b - 1), contrast c x, saturation S <- s S, hue H <- H + h in HSV; each clamped to [0, 1].
    """
    brightness, contrast, saturation = (_factor(x, strength, generator) for strength in strengths[:3])
    turns = strengths[3] * (2 * _uniform(x, generator).view(-1, 1, 1) - 1)
    operations: list[Callable[[Tensor], Tensor]] = [
        lambda y: (y + (brightness - 1)).clamp(0, 1),
        lambda y: (y * contrast).clamp(0, 1),
    ]
    if x.shape[1] == 3:
        operations += [lambda y: scale_saturation(y, saturation), lambda y: rotate_hue(y, turns)]
    order = torch.rand(len(operations), generator=generator, device=x.device).argsort()
    for place in order.split(1):
        # to know the order the host would wait for the GPU: each operation is made at each place, and one of them taken
        x = torch.stack([operation(x) for operation in operations]).index_select(0, place)[0]
    return x


JITTERS = {"simclr": jitter, "kornia": kornia_jitter}


def luminance(x: Tensor) -> Tensor:
    """0.299 R + 0.587 G + 0.114 B (ITU-R 601): [N, 3, H, W] -> [N, 1, H, W]; one channel is its own luminance."""
    if x.shape[1] == 1:
        return x
    r, g, b = x.unbind(1)  # a tensor of the three factors would be copied to a GPU, which the host waits for
    return (0.299 * r + 0.587 * g + 0.114 * b)[:, None]


def scale_saturation(x: Tensor, factor: Tensor) -> Tensor:
    """S <- min(1, f S) in HSV, with f [N, 1, 1, 1], keeping hue and value; RGB in [0, 1]."""
    # with V the largest channel and C the chroma, S = C / V, and each channel is V - S times something of the hue
    value = x.amax(1, keepdim=True)
    chroma = value - x.amin(1, keepdim=True)
    most = value / torch.where(chroma > 0, chroma, torch.ones_like(chroma))
    return (value - (value - x) * torch.minimum(factor, most)).clamp(0, 1)


def rotate_hue(x: Tensor, turns: Tensor) -> Tensor:
    """Add `turns` [N, 1, 1] (1 is a full circle) to the hue in HSV, keeping saturation and value; RGB in [0, 1]."""
    value, index = x.max(1)
    chroma = value - x.min(1).values
    safe = torch.where(chroma > 0, chroma, torch.ones_like(chroma))
    r, g, b = x.unbind(1)
    sector = torch.stack([(g - b) / safe, 2 + (b - r) / safe, 4 + (r - g) / safe], 1)
    hue = sector.gather(1, index[:, None])[:, 0] / 6 + turns
    # each channel is V - C max(0, min(k, 4 - k, 1)) with k = (n + 6 H) mod 6, n = 5, 3, 1 for R, G, B
    k = (torch.arange(5, 0, -2, dtype=x.dtype, device=x.device).view(3, 1, 1) + 6 * hue[:, None]) % 6
    return (value[:, None] - chroma[:, None] * torch.minimum(k, 4 - k).clamp(0, 1)).clamp(0, 1)


def _spread(config: AugmentConfig) -> float:
    return config.crop_ratio[1] / config.crop_ratio[0]


def _uniform(x: Tensor, generator: torch.Generator) -> Tensor:
    return torch.rand(len(x), generator=generator, device=x.device)


def _bernoulli(x: Tensor, probability: float, generator: torch.Generator) -> Tensor:
    return (_uniform(x, generator) < probability).view(-1, 1, 1, 1)


def _factor(x: Tensor, strength: float, generator: torch.Generator) -> Tensor:
    return (1 + strength * (2 * _uniform(x, generator) - 1)).view(-1, 1, 1, 1)
