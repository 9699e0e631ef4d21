"""The configuration of the study of fresh chains and the buffer: what is trained, and what is measured on it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

from baselines import METHODS
from clel.config import choose, from_dict, identity, require
from clel.methods.settings import EvaluateConfig, TrainConfig
from clel.runs.config import Run, resolve, slug

LIVE = 0.0
"""The half-life of no average: the weights themselves."""
HALF_LIVES = (LIVE, 550.0, 1100.0, 2200.0, 4400.0, 8800.0, 17600.0)
STEPS = (5, 10, 20, 30, 40, 50, 60, 80, 100, 150, 200)


@dataclass(frozen=True)
class ChainsRun:
    """The configuration of one training of the study, and of what is measured on it."""

    kind: ClassVar[str] = "chains"
    study: str
    """Name of the study."""
    run: Any
    """What is trained, a Run."""
    half_lives: tuple[float, ...] = HALF_LIVES
    """Half-lives of the weight averages, in images; 0 for the live weights."""
    steps: tuple[int, ...] = STEPS
    """Langevin steps after which chains are measured."""
    far: tuple[float, ...] = (LIVE, 2200.0)
    """Half-lives whose fresh chains take all these steps."""
    near: int = 80
    """All other chains are measured up to this step: a half of the study's time is saved."""
    chains: int = 1000
    """Fresh chains for each measurement."""
    snapshots: int = 20
    """Copies of the live weights from the end of training, which make the mixture."""
    snapshot_every: int = 10
    """Iterations between these."""
    noises: tuple[float, ...] = (0.03, 0.1)
    """Standard deviations of the sampler's noise that are tried besides the method's own."""

    def __post_init__(self) -> None:
        require(list(self.steps) == sorted(set(self.steps)) and self.steps[0] > 0, "steps must increase from above 0")
        require(LIVE in self.half_lives, "half_lives must include 0, the live weights")
        require(self.near >= self.steps[0], f"near is {self.near}, before the first of steps")
        require(len(set(self.half_lives)) == len(self.half_lives), "half_lives must differ")

    @property
    def config(self) -> Any:
        """The method's configuration."""
        return self.run.config

    @property
    def train(self) -> TrainConfig:
        """The trainer's."""
        return self.run.train

    @property
    def dataset(self) -> str:
        """Its data set."""
        return self.run.dataset

    @property
    def seed(self) -> int:
        """Its seed."""
        return self.run.seed

    @property
    def near_steps(self) -> tuple[int, ...]:
        """The steps up to `near`."""
        return tuple(k for k in self.steps if k <= self.near)

    @property
    def restart(self) -> float:
        """The probability that a training chain starts anew from noise."""
        return self.run.config.buffer.restart

    @property
    def name(self) -> str:
        """<study>-<method>-<data set>-r<restart>-s<seed>-<hash>: its folder."""
        return f"{self.study}-{self.run.method}-{slug(self.dataset)}-r{self.restart:g}-s{self.seed}-{identity(self)}"


@dataclass(frozen=True)
class Size:
    """What the study of a profile is, where nothing else is asked for.

    Attributes:
        restarts: probabilities that a training chain starts anew from noise; each is trained.
        cooldown: the largest of these is trained again with a learning rate that falls to 0 over this last share.
        seeds: seeds 0, 1, ... of each.
        measured: fields of ChainsRun that are not the defaults.
    """

    restarts: tuple[float, ...] = (0.01, 0.05, 0.3, 1.0)
    cooldown: float = 0.25
    seeds: int = 3
    measured: Mapping[str, Any] = field(default_factory=dict)


SIZES = {
    "quick": Size(),
    "smoke": Size(),
    # features of natural images take longer than their chains: fewer averages, and more chains than dimensions
    "evening": Size(
        restarts=(0.001, 1.0),
        cooldown=0.3,
        seeds=1,
        measured={
            "half_lives": (LIVE, 750.0, 3000.0, 12_000.0),
            "far": (LIVE, 3000.0),
            "steps": (10, 20, 40, 60, 80, 120, 200),
            "chains": 2000,
            "noises": (),
        },
    ),
}
"""By profile."""


def chains_run(
    method: str,
    restart: float,
    seed: int,
    dataset: str,
    device: str,
    cooldown: float = 0.0,
    preset: str = "quick",
    **changes: Any,
) -> ChainsRun:
    """The study's run of a method's preset with another restart rate and cool-down.

    Raises:
        ConfigError: the method has no replay buffer.
    """
    run = resolve(METHODS, method, preset, dataset=dataset, seed=seed, device=device)
    require(hasattr(run.config, "buffer"), f"{method} has no replay buffer; the study is of methods that have one")
    config = replace(run.config, buffer=replace(run.config.buffer, restart=restart), cooldown=cooldown)
    # the trainer's own average and the evaluation play no part; fixed, since the preset's were chosen by this study
    train = replace(run.train, ema_half_life=4400.0, evaluate_every=0, sample_every=0)
    measured = EvaluateConfig(features=run.evaluate.features)
    return ChainsRun("chains", replace(run, config=config, train=train, evaluate=measured), **changes)


def read_run(values: Mapping[str, Any]) -> ChainsRun:
    """The run that a config.json describes."""
    run = dict(values["run"])
    run["config"] = from_dict(choose(METHODS, run["method"], "method").Config, run["config"], "run.config.")
    return replace(from_dict(ChainsRun, {**values, "run": run}), run=from_dict(Run, run, "run."))
