"""Settings of training and evaluation that every method shares, and the recipe that joins them with its own."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

import tyro

from clel.bounds import require_ranges
from clel.chains.protocol import PROTOCOLS
from clel.config import ADDED, LENGTH, LOGISTICS, choose, require
from clel.features.names import AUTO, NAMES

FURTHER = 3
"""Measurements of chains beyond `steps`."""


@dataclass(frozen=True)
class TrainConfig:
    """How long to train, what is averaged, logged and kept, and when a run counts as diverged."""

    iterations: int = field(default=100_000, metadata=LENGTH)
    """Training iterations (updates of the weights). [CLEL Appendix B: 100,000]"""
    ema_half_life: float = field(default=20_000.0, metadata=LENGTH)
    """Half-life of the weight average, in images; until so many were seen, the average is a copy. [authors' code]"""
    checkpoint_every: int = field(default=1000, metadata=LENGTH)
    """Iterations between checkpoints; a diverged run goes back to the last one. [this suite]"""
    max_energy: float = 10.0
    """A mean energy beyond +- this has run away. [Improved CD's code: 10]"""
    rollbacks: int = 3
    """Times that a run may go back to its last good checkpoint before it counts as diverged. [this suite]"""
    log_every: int = field(default=50, metadata=LOGISTICS)
    """Iterations between lines of the log, and between looks at the divergence flag."""
    evaluate_every: int = field(default=0, metadata=LOGISTICS | LENGTH)
    """Iterations between evaluations on fresh chains of the averaged weights; 0 for none."""
    evaluate_samples: int = field(default=500, metadata=LOGISTICS)
    """Fresh samples in each such evaluation."""
    representation_images: int = field(default=0, metadata=LOGISTICS)
    """Labelled images of each split on which such an evaluation looks at what a method knows of them; 0 for none."""
    sample_every: int = field(default=2000, metadata=LOGISTICS | LENGTH)
    """Iterations between sample grids (PNG); 0 for none."""
    keep: int = field(default=2, metadata=LOGISTICS)
    """Checkpoints kept, at least 2."""
    tensorboard: bool = field(default=False, metadata=LOGISTICS)
    """Write TensorBoard event files beside log.jsonl; needs the package tensorboard."""
    minutes: float = field(default=0.0, metadata=ADDED)
    """Length of training as time: the iterations are set by the rate at the start, and all that is stated for
    `iterations` keeps its share of them; 0 for `iterations` as they are. [this suite]"""
    measured_iterations: Annotated[int, tyro.conf.Suppress] = field(default=0, metadata=LOGISTICS)
    """Iterations that `minutes` came to where the run was started; 0 before they were measured, which is done once."""

    def __post_init__(self) -> None:
        require_ranges(self)
        require(self.iterations >= 1, f"iterations is {self.iterations}; expected at least 1")
        require(self.ema_half_life >= 0, f"ema_half_life is {self.ema_half_life}; expected images, 0 for no average")
        require(self.checkpoint_every >= 1, f"checkpoint_every is {self.checkpoint_every}; expected at least 1")
        require(self.log_every >= 1, f"log_every is {self.log_every}; expected at least 1")
        require(self.evaluate_every >= 0 and self.sample_every >= 0, "evaluate_every and sample_every are 0 or more")
        require(self.max_energy > 0 and self.rollbacks >= 0, "max_energy is positive, rollbacks 0 or more")
        require(self.minutes >= 0, f"minutes is {self.minutes}; expected minutes of training, 0 for none given")
        require(self.keep >= 2, f"keep is {self.keep}; at least 2, so that a torn checkpoint loses nothing")

    @property
    def kept(self) -> int:
        """Checkpoints that lie there in the end: `keep`, or as many as are written."""
        return min(self.keep, self.iterations // self.checkpoint_every + 1)


@dataclass(frozen=True)
class EvaluateConfig:
    """What is sampled and measured once a run is trained; no part of the run's identity, since it trains nothing."""

    samples: int = 10_000
    """Fresh samples, each a new chain from noise. [CLEL Appendix B: 50,000 for FID]"""
    steps: int = 600
    """Langevin steps of each fresh chain. [CLEL Appendix B: 600 for Base, 1,200 for Large]"""
    rounds: int = 1
    """Rounds that the steps are run in; the distance is measured after each. [authors' code: 10 of 60 steps]"""
    protocols: tuple[str, ...] = ("clean",)
    """How the chains are run: clean (from noise to the end), paper (disturbed as the method's authors do, if so)."""
    weights: Literal["averaged", "live"] = "averaged"
    """Weights that the chains run on: their average over training, or the last ones. [CLEL Appendix B: averaged]"""
    features: str = "classifier"
    """Feature space: classifier, lite0, inception-clean, inception-pytorch, inception-tensorflow. auto: of colour
    inception-clean and also lite0 where Inception weights are there, else lite0; of grey classifier.
    docs/reference/protocol.md has them."""
    also: tuple[str, ...] = field(default=(), metadata=ADDED)
    """Further feature spaces, in which the same samples are measured too, each with columns of its own. [this suite]"""
    reference: Literal["train", "test"] = field(default="train", metadata=ADDED)
    """Split of the data set that samples are compared with. [authors' code: train; ImageNet 32x32: test]"""
    sampling_seeds: int = 1
    """Times that the clean protocol is repeated with other random numbers, for the spread over sampling."""
    bootstrap: int = 100
    """Resamplings of the samples for the interval of a single distance; 0 for none."""
    infinity: bool = False
    """Also extrapolate the distance to infinitely many samples. [Chong & Forsyth 2020]"""
    batch: int = 500
    """Chains run at a time, each batch with random numbers of its own; halved where a GPU's memory does not hold it."""
    neighbours: int = 3
    """k of the k-nearest-neighbour precision and recall. [Kynkaanniemi et al. 2019: 3]"""
    density_neighbours: int = 5
    """k of density and coverage. [Naeem et al. 2020: 5]"""
    kid_subset: int = 1000
    """Images a subset of the kernel distance; the smaller of the two sets where that is smaller. [KID: 1,000]"""
    beyond: float = field(default=1.0, metadata=ADDED)
    """Times `steps` that clean chains, 5,000 at most, are followed for the figure over steps; no other number changes.
    1 for no further than `steps`. [this suite]"""

    def __post_init__(self) -> None:
        require_ranges(self)
        require(self.samples >= 1 and self.batch >= 1, "samples and batch are at least 1")
        require(self.rounds >= 1, f"rounds is {self.rounds}; expected at least 1")
        require(len(self.protocols) == len(set(self.protocols)) >= 1, "protocols names at least one, each once")
        for name in self.protocols:
            choose(PROTOCOLS, name, "protocol")
        spaces = (self.features, *self.also)
        for name in spaces:
            choose(dict.fromkeys((*NAMES, AUTO)), name, "feature space")
        require(len(set(spaces)) == len(spaces), f"feature spaces {', '.join(spaces)}: give each once")
        require(
            AUTO not in spaces or len(spaces) == 1, f"features {AUTO} chooses further spaces itself; leave them out"
        )
        for name in ("neighbours", "density_neighbours"):
            require(getattr(self, name) >= 1, f"{name} is {getattr(self, name)}; expected at least 1")
        require(self.kid_subset >= 2, f"kid_subset is {self.kid_subset}; expected at least 2")
        require(self.sampling_seeds >= 1, f"sampling_seeds is {self.sampling_seeds}; expected at least 1")
        require(self.beyond >= 1, f"beyond is {self.beyond}; expected times steps, 1 for no further")
        require(
            self.bootstrap == 0 or self.bootstrap >= 20, f"bootstrap is {self.bootstrap}; expected 0, or 20 and more"
        )

    @property
    def round_steps(self) -> tuple[int, ...]:
        """Langevin steps of each round: as equal as whole numbers allow, and no round without a step."""
        n = max(1, min(self.rounds, self.steps))
        return tuple(self.steps * (i + 1) // n - self.steps * i // n for i in range(n))

    @property
    def further_steps(self) -> tuple[int, ...]:
        """Steps after which chains that go on beyond `steps` are measured, `steps` first, then at equal ratios.

        None where they do not go on.
        """
        totals = (round(self.steps * self.beyond ** (i / FURTHER)) for i in range(FURTHER + 1))
        found = tuple(dict.fromkeys(totals))
        return found if len(found) > 1 else ()


@dataclass(frozen=True)
class Recipe:
    """A method's configuration with its training and evaluation settings, under a name such as quick, small, paper."""

    config: Any
    train: TrainConfig
    evaluate: EvaluateConfig
    published: str | None = None
    """Row of the published tables that this recipe reproduces, if any."""
