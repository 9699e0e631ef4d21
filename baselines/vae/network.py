"""A hierarchical VAE with residual cells (NVAE; Vahdat & Kautz, NeurIPS 2020, 2007.03898): networks of q and p.

    p(z) = prod_l p(z_l | z_<l),   q(z | x) = prod_l q(z_l | z_<l, x),   l = 1 ... L from coarse to fine
The encoder goes up from the image and leaves features at each group; the decoder goes down from a learned constant and
takes in z_l group by group; q(z_l) sees the encoder's features and the decoder's state.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from baselines.spectral_penalty import remember_singular_vectors
from baselines.vae.cells import DecoderCell, EncoderCell, conv
from baselines.vae.decoder import DecoderConfig
from baselines.vae.latents import absolute_posterior, prior, residual_posterior
from clel.bounds import require_ranges
from clel.config import require
from clel.data import ImageSpec


@dataclass(frozen=True)
class VAENetworkConfig:
    """The encoder's and decoder's sizes; the defaults are those of VAEBM's NVAE on CIFAR-10, without its flows."""

    width: int = 128
    """Channels at the image's size; twice as many after each halving. [VAEBM: 128]"""
    halvings: int = 1
    """Halvings of the image before the finest latents. [VAEBM: 1]"""
    groups: tuple[int, ...] = (30,)
    """Groups of latents at each scale, the coarsest first; a scale is half the size of the next. [VAEBM: 30 at one]"""
    latents: int = 20
    """Channels of a group's latents. [VAEBM: 20]"""
    outer_cells: int = 2
    """Cells a halving, and as many a doubling, between image and finest latents. [VAEBM: 2]"""
    cells: int = 2
    """Cells a group, in encoder and decoder each. [VAEBM: 2]"""
    expansion: int = 6
    """Hidden channels of a decoder cell for each of its own; half as many beyond the finest latents. [NVAE: 6]"""
    excite: bool = True
    """End each branch in squeeze-and-excitation. [VAEBM: yes]"""
    weight_norm: bool = True
    """Learn each convolution's weight as direction and length. [authors' code]"""
    residual: bool = True
    """Give posteriors relative to the priors. [NVAE section 3.2]"""
    decoder: DecoderConfig = field(default_factory=DecoderConfig)
    """The distribution of an image given the latents."""

    def __post_init__(self) -> None:
        require_ranges(self)
        require(self.width >= 4 and self.width % 4 == 0, f"width is {self.width}; expected a multiple of 4")
        require(0 <= self.halvings <= 16, f"halvings is {self.halvings}; expected 0 to 16")


class Group(nn.Module):
    """What one group of latents adds to the towers: the decoder's cells before it, its prior, its posterior, its z."""

    def __init__(self, config: VAENetworkConfig, channels: int, first: bool) -> None:
        super().__init__()
        self.first = first
        norm, latents = config.weight_norm, config.latents
        if not first:
            cells = [DecoderCell(channels, "same", config.expansion, config.excite, norm) for _ in range(config.cells)]
            self.cells = nn.Sequential(*cells)
            self.prior = nn.Sequential(nn.ELU(), conv(channels, 2 * latents, 1, norm=norm))
            self.merge = conv(channels, channels, 1, norm=norm)
        self.posterior = conv(channels, 2 * latents, 3, norm=norm)
        self.absorb = conv(channels + latents, channels, 1, norm=norm)

    def down(self, state: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """The decoder's state before z [N, C, H, W], and the prior's mean and log standard deviation [N, Z, H, W]."""
        if self.first:
            zeros = torch.zeros_like(state[:, : self.posterior.out_channels // 2])  # type: ignore[operator]
            return state, (zeros, zeros)
        state = self.cells(state)
        return state, prior(self.prior(state))


class HierarchicalVAE(nn.Module):
    """Encoder and decoder towers; noise stands for the latents, so that both passes are deterministic functions.

    Raises:
        ConfigError: the image cannot be halved as often as halvings and scales ask.
    """

    def __init__(self, config: VAENetworkConfig, spec: ImageSpec) -> None:
        super().__init__()
        steps = config.halvings + len(config.groups) - 1
        require(
            spec.size % 2**steps == 0,
            f"images of {spec.size} pixels cannot be halved {steps} times; use fewer halvings or scales (groups)",
        )
        self.config = config
        norm, width = config.weight_norm, config.width
        top, side = width << steps, spec.size >> steps
        self.stem = conv(spec.channels, width, 3, norm=norm)
        self.outer_encoder = self._outer_encoder(config)
        self.encoder, self.halvers, self.groups, self.doublers = (nn.ModuleList() for _ in range(4))
        self.latent_shapes: list[tuple[int, int, int]] = []
        for scale, count in enumerate(config.groups):
            channels = top >> scale
            for number in range(count):
                self.groups.append(Group(config, channels, first=scale == number == 0))
                cells = [EncoderCell(channels, "same", config.excite, norm) for _ in range(config.cells)]
                self.encoder.append(nn.Sequential(*cells))
                self.latent_shapes.append((config.latents, side << scale, side << scale))
            if scale < len(config.groups) - 1:
                self.halvers.append(EncoderCell(channels // 2, "down", config.excite, norm))
                self.doublers.append(DecoderCell(channels, "up", config.expansion, config.excite, norm))
        self.constant = nn.Parameter(torch.rand(1, top, side, side))
        self.summit = nn.Sequential(nn.ELU(), conv(top, top, 1, norm=norm), nn.ELU())
        self.outer_decoder = self._outer_decoder(config)
        self.last = nn.Sequential(nn.ELU(), conv(width, config.decoder.outputs(spec.channels), 3, norm=norm))
        remember_singular_vectors(self)

    @staticmethod
    def _outer_encoder(c: VAENetworkConfig) -> nn.Sequential:
        cells = []
        for k in range(c.halvings):
            cells += [EncoderCell(c.width << k, "same", c.excite, c.weight_norm) for _ in range(c.outer_cells - 1)]
            cells.append(EncoderCell(c.width << k, "down", c.excite, c.weight_norm))
        return nn.Sequential(*cells)

    @staticmethod
    def _outer_decoder(c: VAENetworkConfig) -> nn.Sequential:
        cells, expansion = [], max(1, c.expansion // 2)
        for k in reversed(range(c.halvings)):
            cells.append(DecoderCell(c.width << (k + 1), "up", expansion, c.excite, c.weight_norm))
            for _ in range(c.outer_cells - 1):
                cells.append(DecoderCell(c.width << k, "same", expansion, c.excite, c.weight_norm))
        return nn.Sequential(*cells)

    @property
    def ends(self) -> set[int]:
        """Numbers of the last groups of all scales but the finest."""
        return {sum(self.config.groups[: k + 1]) - 1 for k in range(len(self.config.groups) - 1)}

    def features(self, x: Tensor) -> list[Tensor]:
        """The encoder's features of images x [N, C, H, W] in [0, 1] for each group, the coarsest first."""
        y = self.outer_encoder(self.stem(2 * x - 1))
        found, scale = [], len(self.halvers)
        for number in reversed(range(len(self.groups))):
            if number in self.ends:
                scale -= 1
                y = self.halvers[scale](y)
            y = self.encoder[number](y)
            found.append(y)
        found[-1] = self.summit(found[-1])
        return found[::-1]

    def forward(self, x: Tensor, noise: Sequence[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """Parameters of p(x | z) [N, K, H, W] for z ~ q(z | x), and KL(q || p) [N] of each group.

        Args:
            x: images [N, C, H, W] in [0, 1].
            noise: N(0, I) of the shapes [N, *latent_shapes[l]].
        """
        posterior = residual_posterior if self.config.residual else absolute_posterior
        state, kls, double = self.constant.expand(len(x), -1, -1, -1), [], iter(self.doublers)
        for number, (group, features) in enumerate(zip(self.groups, self.features(x), strict=True)):
            state, (mean, log_std) = group.down(state)  # type: ignore[operator]
            seen = features if group.first else features + group.merge(state)  # type: ignore[operator]
            z, kl = posterior(mean, log_std, group.posterior(seen), noise[number])  # type: ignore[operator]
            state = self.absorb(number, state, z, double)
            kls.append(kl)
        return self.last(self.outer_decoder(state)), kls

    def generate(self, noise: Sequence[Tensor], temperature: float = 1.0) -> Tensor:
        """Parameters of p(x | z) [N, K, H, W] for z_l = mu + temperature sigma noise_l, (mu, sigma) those of p."""
        state, double = self.constant.expand(len(noise[0]), -1, -1, -1), iter(self.doublers)
        for number, group in enumerate(self.groups):
            state, (mean, log_std) = group.down(state)  # type: ignore[operator]
            z = mean + temperature * log_std.exp() * noise[number]
            state = self.absorb(number, state, z, double)
        return self.last(self.outer_decoder(state))

    def absorb(self, number: int, state: Tensor, z: Tensor, double: Sequence[nn.Module] | object) -> Tensor:
        """The decoder's state once it knows z, at the next scale where the group ends one."""
        state = self.groups[number].absorb(torch.cat([state, z], 1))  # type: ignore[operator]
        return next(double)(state) if number in self.ends else state  # type: ignore[call-overload]
