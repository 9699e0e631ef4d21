"""Hyper-parameters of diffusion recovery likelihood (Gao et al., ICLR 2021, setting T6) and its presets."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from typing import ClassVar, Literal

from baselines.drl.network import DRLNetworkConfig
from clel.bounds import require_ranges
from clel.config import LENGTH, require
from clel.methods.profiles.evening import evening_evaluate, evening_train
from clel.methods.profiles.full import full_evaluate
from clel.methods.settings import EvaluateConfig, Recipe, TrainConfig


@dataclass(frozen=True)
class DRLChain:
    """The Langevin chain of one noise level."""

    steps: int = 30
    """Langevin steps a level. [authors' code: 30]"""
    step_variance: float = 2e-4
    """b^2 in s_t^2 = b^2 (sbar_t / sbar_0) sigma_{t+1}^2, the squared step size. [authors' code: 2e-4]"""
    noise: float = 1.0
    """Factor of the chain's noise in training. [authors' code: 1]"""
    sample_noise: float = 0.99
    """Factor of the chain's noise in sampling. [authors' README: 0.99]"""

    def __post_init__(self) -> None:
        require_ranges(self)


@dataclass(frozen=True, kw_only=True)
class DRLConfig:
    """Hyper-parameters of DRL; the defaults are the authors' for CIFAR-10."""

    FORMER: ClassVar[str] = "recovery_likelihood"
    """The method's key when its first runs were made, which name theirs and all later ones."""
    batch_size: int = 256
    """Images, each with a level and a chain of its own, in one iteration. [authors' README: 256]"""
    levels: int = 6
    """Transitions T between noise levels. [authors' code: 6]"""
    network: DRLNetworkConfig = field(default_factory=DRLNetworkConfig)
    """F."""
    langevin: DRLChain = field(default_factory=DRLChain)
    """The chains, one a level."""
    lr: float = 1e-4
    """Adam's learning rate. [authors' code: 1e-4]"""
    betas: tuple[float, float] = (0.9, 0.999)
    """Adam's betas. [authors' code: 0.9 for CIFAR-10, 0.5 for CelebA and 128x128]"""
    warmup: int = field(default=1000, metadata=LENGTH)
    """Iterations of linear warm-up of the learning rate. [authors' code: 1,000]"""
    cooldown: float = 0.0
    """Share of the iterations, the last ones, over which the learning rate falls to 0. [this suite; the authors': 0]"""
    flip: bool = True
    """Mirror half of the images left to right. [authors' code]"""
    engine: Literal["float32", "bfloat16"] = "float32"
    """Number format of the network while chains run; images, noise and energies stay float32. [this suite]"""

    def __post_init__(self) -> None:
        require_ranges(self)
        require(
            2 <= self.levels <= 251, f"levels is {self.levels}; expected 2 to 251, the states of DDPM's half schedule"
        )


def half_life(decay: float, batch: int) -> float:
    """Images after which an average that keeps `decay` in each iteration of `batch` images has kept a half."""
    return batch * math.log(0.5) / math.log(decay)


@cache
def recipes() -> Mapping[str, Recipe]:
    """quick: 8x8 digits; evening: images of 16x16; small: the authors' flags as released; paper, paper-n2: theirs, with
    N = 8 and 2, for CIFAR-10.

    An energy, in units of s_t^2, counts as run away beyond a million, where the authors' code leaves its loop (loss
    below -1e6); in quick, where it stays within 5, beyond twenty.
    """
    paper = DRLConfig()
    two = replace(paper, network=replace(paper.network, blocks=2))
    small = replace(two, batch_size=64)
    quick = replace(
        paper,
        batch_size=64,
        network=DRLNetworkConfig(width=32, multipliers=(1, 2), blocks=1),
        # a third of the steps, each three times the variance: as long a walk, at a third of its price
        langevin=replace(paper.langevin, steps=10, step_variance=6e-4),
        lr=2e-3,
        warmup=100,
        # longer, or faster, and the least noisy level's chain is unstable (docs/log/quick-settings.md)
        cooldown=0.4,
        flip=False,
    )
    evening = replace(
        quick, network=DRLNetworkConfig(width=64, multipliers=(1, 1, 2), blocks=1), lr=5e-4, cooldown=0.3, flip=True
    )
    evening_training = replace(evening_train(2000), max_energy=20.0)
    quick_train = TrainConfig(
        iterations=1600,
        ema_half_life=4_000.0,
        checkpoint_every=100,
        log_every=20,
        evaluate_every=200,
        sample_every=400,
        max_energy=20.0,
    )
    decay = 0.999
    paper_train = TrainConfig(iterations=240_000, ema_half_life=half_life(decay, 256), max_energy=1e6)
    small_train = TrainConfig(iterations=50_000, ema_half_life=half_life(decay, 64), max_energy=1e6)
    full = full_evaluate(180, 1, ("clean",))
    return {
        "quick": Recipe(quick, quick_train, EvaluateConfig(samples=1000, steps=60, beyond=5.0), "drl-n8"),
        "evening": Recipe(evening, evening_training, evening_evaluate(60, 1), "drl-n8"),
        "small": Recipe(small, small_train, full, None),
        "paper": Recipe(paper, paper_train, full, "drl-n8"),
        "paper-n2": Recipe(two, paper_train, full, "drl-n2"),
    }
