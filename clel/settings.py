"""Settings of training and evaluation that every method shares, and the recipe that joins them with its own."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from clel.augment import NONE, AugmentConfig
from clel.config import LOGISTICS, require


@dataclass(frozen=True)
class TrainConfig:
    """How long to train, what is averaged, logged and kept, and when a run counts as diverged."""

    iterations: int = 100_000
    """Training iterations (updates of the weights). [CLEL Appendix B: 100,000]"""
    ema_half_life: float = 20_000.0
    """Half-life of the weight average, in images; until so many were seen, the average is a copy. [authors' code]"""
    checkpoint_every: int = 1000
    """Iterations between checkpoints; a diverged run goes back to the last one. [this suite]"""
    max_energy: float = 10.0
    """A mean energy beyond +- this has run away. [Improved CD's code: 10]"""
    rollbacks: int = 3
    """Times that a run may go back to its last good checkpoint before it counts as diverged. [this suite]"""
    log_every: int = field(default=50, metadata=LOGISTICS)
    """Iterations between lines of the log, and between looks at the divergence flag."""
    evaluate_every: int = field(default=0, metadata=LOGISTICS)
    """Iterations between evaluations on fresh chains of the averaged weights; 0 for none."""
    evaluate_samples: int = field(default=500, metadata=LOGISTICS)
    """Fresh samples in each such evaluation."""
    sample_every: int = field(default=2000, metadata=LOGISTICS)
    """Iterations between sample grids (PNG); 0 for none."""
    keep: int = field(default=2, metadata=LOGISTICS)
    """Checkpoints kept, at least 2."""
    tensorboard: bool = field(default=False, metadata=LOGISTICS)
    """Write TensorBoard event files beside log.jsonl; needs the package tensorboard."""

    def __post_init__(self) -> None:
        require(self.iterations >= 1, f"iterations is {self.iterations}; expected at least 1")
        require(self.ema_half_life >= 0, f"ema_half_life is {self.ema_half_life}; expected images, 0 for no average")
        require(self.checkpoint_every >= 1, f"checkpoint_every is {self.checkpoint_every}; expected at least 1")
        require(self.log_every >= 1, f"log_every is {self.log_every}; expected at least 1")
        require(self.evaluate_every >= 0 and self.sample_every >= 0, "evaluate_every and sample_every are 0 or more")
        require(self.max_energy > 0 and self.rollbacks >= 0, "max_energy is positive, rollbacks 0 or more")
        require(self.keep >= 2, f"keep is {self.keep}; at least 2, so that a torn checkpoint loses nothing")


@dataclass(frozen=True)
class EvaluateConfig:
    """What is sampled and measured once a run is trained."""

    samples: int = 10_000
    """Fresh samples, each a new chain from noise under the averaged weights. [CLEL Appendix B: 50,000 for FID]"""
    steps: int = 600
    """Langevin steps of each fresh chain. [CLEL Appendix B: 600 for Base, 1,200 for Large]"""
    rounds: int = 1
    """Equal rounds that the steps are run in. [authors' code: 10 rounds of 60 steps]"""
    restart: float = 0.0
    """Probability that a chain starts anew from noise at the start of a round but the first. [authors' code: 0.001]"""
    augmentation: AugmentConfig = NONE
    """Augmentation of the chains at the start of each round but the first. [authors' code: strong; none here]"""
    batch: int = 500
    """Chains run at a time; each batch has random numbers of its own."""
    neighbours: int = 3
    """k of the k-nearest-neighbour precision and recall. [Kynkaanniemi et al. 2019: 3]"""
    kid_subset: int = 1000
    """Images a subset of the kernel distance; the smaller of the two sets where that is smaller. [KID: 1,000]"""

    def __post_init__(self) -> None:
        require(self.samples >= 1 and self.batch >= 1, "samples and batch are at least 1")
        require(self.steps >= 0, f"steps is {self.steps}; expected 0 or more")
        require(
            self.rounds >= 1 and self.steps % self.rounds == 0,
            f"steps is {self.steps} and rounds {self.rounds}; expected a whole number of steps a round",
        )
        require(0 <= self.restart <= 1, f"restart is {self.restart}; expected a probability")
        require(self.neighbours >= 1 and self.kid_subset >= 2, "neighbours is at least 1, kid_subset at least 2")


@dataclass(frozen=True)
class Recipe:
    """A method's configuration with its training and evaluation settings, under a name such as quick, small, paper."""

    config: Any
    train: TrainConfig
    evaluate: EvaluateConfig
    published: str | None = None
    """Row of the published tables that this recipe reproduces, if any."""
