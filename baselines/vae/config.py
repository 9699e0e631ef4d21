"""Hyper-parameters of the hierarchical VAE, on its own and as VAEBM's first half."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from baselines.vae.network import VAENetworkConfig
from clel.bounds import require_ranges
from clel.config import ADDED, LENGTH, require


@dataclass(frozen=True, kw_only=True)
class VAESettings:
    """Hyper-parameters of a hierarchical VAE but its batch.

    The defaults are those of VAEBM's NVAE on CIFAR-10 but for flips and precision, which its presets set.
    """

    network: VAENetworkConfig = field(default_factory=VAENetworkConfig)
    """Encoder, latents and decoder."""
    lr: float = 1e-2
    """Adamax's learning rate, after the warm-up. [NVAE: 1e-2]"""
    lr_end: float = 1e-4
    """The learning rate at the end of the cosine. [NVAE: 1e-4]"""
    warmup: int = field(default=975, metadata=LENGTH)
    """Iterations of linear warm-up of the learning rate. [NVAE: 5 epochs]"""
    weight_decay: float = 3e-4
    """Adamax's weight decay. [NVAE: 3e-4]"""
    kl_warmup: int = field(default=23_400, metadata=LENGTH)
    """Iterations over which the KL term's coefficient rises to 1, however many there are. [NVAE: 30 % of 78,000]"""
    kl_least: float = 1e-4
    """Its least value. [authors' code: 1e-4]"""
    balance: bool = True
    """Weight the groups' KL terms against each other during the warm-up. [NVAE appendix A]"""
    spectral: float = 0.1
    """lambda of the spectral regularisation. [VAEBM: 0.1]"""
    draws: int = 10
    """Draws of the latents in an estimate of the ELBO, the same ones for every image. [NVAE: 10 in validation]"""
    temperature: float = 1.0
    """Factor of the priors' standard deviations when images are sampled. [VAEBM: 1]"""
    flip: bool = field(default=False, metadata=ADDED)
    """Mirror half of the training images left to right. [authors' code: yes, for natural images]"""
    precision: Literal["float32", "bfloat16"] = field(default="float32", metadata=ADDED)
    """Number format of the cells' convolutions in training passes; all else stays float32. [NVAE: mixed, float16]"""
    recompute: bool = field(default=False, metadata=ADDED)
    """Keep each cell's input alone and compute its activations again on the way back. [this suite]"""

    def __post_init__(self) -> None:
        require_ranges(self)
        require(self.draws >= 1, f"draws is {self.draws}; expected at least 1")


@dataclass(frozen=True, kw_only=True)
class VAEConfig(VAESettings):
    """Hyper-parameters of a hierarchical VAE."""

    batch_size: int = 256
    """Images in one iteration. [VAEBM: 32 on each of 8 GPUs]"""

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.batch_size >= 2, f"batch_size is {self.batch_size}; batch norm takes at least 2")
