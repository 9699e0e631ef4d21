"""The declared trials of every method: as many for each, a learning rate and one knob that its authors vary.

The rule: each trial is trained with every seed of its profile's, which no table reports, and scored by the mean Frechet
distance of fresh samples to held-out images; the preset has the settings of the best trial. A trial with a seed that
did not end well is not chosen.

Trials that are shorter than a training cannot see what breaks later. There the choice is trained in full on the seeds
for that; where one diverges, or ends at more than 1.1 times the lowest distance on its way, the preset has other
settings, with which all of them end well.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Any

from baselines import METHODS
from clel.config import choose
from clel.data.side import at_side
from clel.evaluation.feature_choice import settled
from clel.runs.config import Methods, resolve
from clel.training.length import scaled
from experiments.sweep.grid import PROFILES, Cell, with_seeds
from experiments.sweep.variants import Changes, Setting, changes_in_words, combinations, label, with_changes


@dataclass(frozen=True)
class Trying:
    """How the trials of a profile are made.

    Attributes:
        seeds: of each trial. Tables count from 0.
        length: share of the preset's iterations; all of its lengths are scaled alike (clel/training/length.py).
        changes: what its trials have otherwise than the preset, where a method has it.
        whole: seeds of the trainings of the whole length, where trials are shorter.
        mended: what the preset has otherwise than the best trial, since trainings of the whole length broke down with
            the trial's settings, by method.
    """

    seeds: tuple[int, ...] = (100, 101, 102)
    length: Fraction = Fraction(1)
    changes: Changes = ()
    whole: tuple[int, ...] = ()
    mended: Mapping[str, Changes] = field(default_factory=dict)


@dataclass(frozen=True)
class Choice:
    """What one trial is: changes of the profile's preset, or another preset as it is."""

    changes: Changes = ()
    preset: str | None = None

    @property
    def words(self) -> str:
        """For people."""
        return f"preset {self.preset}" if self.preset else changes_in_words(self.changes)

    @property
    def label(self) -> str:
        """What follows the method in the name of its row: "[lr=0.001]" or ":evening-persistent"."""
        return f":{self.preset}" if self.preset else f"[{label(self.changes)}]"


@dataclass(frozen=True)
class TrialGrid:
    """The settings of a method that are tried, all combinations but those left out; other presets that are; and why."""

    settings: tuple[Setting, ...]
    why: str
    presets: tuple[str, ...] = ()
    left_out: tuple[Changes, ...] = ()

    @property
    def trials(self) -> list[Choice]:
        """What each trial is."""
        varied = [Choice(changes) for changes in combinations(self.settings) if changes not in self.left_out]
        return varied + [Choice(preset=preset) for preset in self.presets]


QUICK = {
    "igebm": TrialGrid(
        (Setting("lr", (1e-3, 3e-3, 1e-2)), Setting("langevin.step_size", (10.0, 30.0))),
        "step size: 10, 100 and 500 in the release's commands, 10 of them on 32x32 images",
    ),
    "plain": TrialGrid(
        (Setting("lr", (5e-4, 1e-3, 2e-3)), Setting("langevin.step_size", (30.0, 100.0))),
        "step size: 100 in CLEL's and Improved CD's code, 10 in IGEBM's, for the same noise",
    ),
    "vae": TrialGrid(
        (Setting("lr", (3e-3, 1e-2, 3e-2)), Setting("spectral", (0.01, 0.1))),
        "lambda of the spectral regularisation: 0.01 and 0.1 among NVAE's commands",
    ),
    "vaebm": TrialGrid(
        (Setting("lr", (5e-5, 1e-4, 2e-4)), Setting("langevin.step_size", (0.05, 0.1))),
        "step size of the chains: VAEBM's commands have another one for each data set",
    ),
    "drl": TrialGrid(
        (Setting("lr", (5e-4, 1e-3, 2e-3)), Setting("langevin.step_variance", (2e-4, 6e-4))),
        "step variance b^2: 2e-4 in the authors' code, for three times as many steps",
    ),
    "clel": TrialGrid(
        (Setting("lr", (5e-4, 1e-3, 2e-3)), Setting("beta", (0.003, 0.01))),
        "beta: 0.001, 0.01 and 0.1 in the paper's ablation; 0.01 there is its best",
    ),
}

PERSISTENT = ("evening-persistent",)
CHAINS = (
    "learning rate, each chain from noise; more noise in a step; and at one rate chains that go on, as the authors "
    "have them"
)
RATES_AND_NOISE = (Setting("lr", (5e-4, 1e-3)), Setting("langevin.noise", (0.001, 0.01)))
"""Learning rates; the noise of CLEL's release, and ten times that."""
SLOW_AND_NOISY = ((("lr", 5e-4), ("langevin.noise", 0.01)),)

EVENING = {
    "igebm": TrialGrid(
        (Setting("lr", (3e-4, 1e-3)), Setting("langevin.noise", (0.005, 0.01))),
        CHAINS,
        PERSISTENT,
        ((("lr", 3e-4), ("langevin.noise", 0.01)),),
    ),
    "plain": TrialGrid(RATES_AND_NOISE, CHAINS, PERSISTENT, SLOW_AND_NOISY),
    "vae": TrialGrid((Setting("lr", (3e-3, 5e-3, 1e-2, 2e-2)),), "learning rate"),
    "vaebm": TrialGrid(
        (Setting("langevin.step_size", (1e-3, 1e-2, 3e-2, 1e-1)),), "step size: another one for each data set"
    ),
    "drl": TrialGrid((Setting("lr", (2e-4, 5e-4, 1e-3, 2e-3)),), "learning rate"),
    "clel": TrialGrid(RATES_AND_NOISE, CHAINS, PERSISTENT, SLOW_AND_NOISY),
}

GRIDS: Mapping[str, Mapping[str, TrialGrid]] = {"quick": QUICK, "smoke": QUICK, "evening": EVENING}
"""By profile and method."""
TRYING: Mapping[str, Trying] = {
    # cooldown: so that the rate is as long at its height, 350 iterations, as in the whole training, 450. beta: trials
    # had the paper's. mended: docs/log/README.md, "what keeps evening's CLEL from breaking down"
    "evening": Trying(
        (100,),
        Fraction(1, 3),
        changes=(("cooldown", 0.3), ("beta", 0.01)),
        whole=(100, 101),
        mended={"clel": (("langevin.noise", 0.001), ("beta", 0.001))},
    ),
}
"""By profile, where it is not the default."""


def trying_of(profile: str) -> Trying:
    """How the profile's trials are made; as of quick where it does not say."""
    return TRYING.get(profile, Trying())


def trial_cells(
    profile: str,
    methods: Sequence[str] = (),
    device: str = "auto",
    known: Methods = METHODS,
    dataset: str | None = None,
) -> list[Cell]:
    """A cell for each method, trial and seed, measured on held-out images; by default of all methods with a grid.

    dataset: the profile's own if None.

    Raises:
        ConfigError: an unknown profile or method, or one that has no grid.
    """
    grids = choose(GRIDS, profile, "profile with trials")
    size, trying = PROFILES[profile], trying_of(profile)
    dataset = at_side(dataset or size.dataset, size.side)
    cells = []
    for method in methods or grids:
        grid = choose(grids, method, "method with trials")
        for trial in grid.trials:
            run = resolve(known, method, trial.preset or size.presets[0], dataset=dataset, device=device)
            # looks during training are not needed, and cost a tenth of it
            train = replace(run.train, **{**dict(size.cut_train), "evaluate_every": 0, "sample_every": 0})
            measured = {**dict(size.cut_evaluate), "rounds": 1, "beyond": 1.0, "bootstrap": 0, "reference": "test"}
            own = tuple((key, value) for key, value in trying.changes if hasattr(run.config, key))
            run = with_changes(
                replace(run, train=train, evaluate=settled(replace(run.evaluate, **measured), dataset)),
                (*own, *trial.changes),
            )
            run = scaled(run, trying.length.numerator, trying.length.denominator)
            title = f"{known[method].title} ({trial.words})"
            cells += with_seeds(Cell(method + trial.label, title, profile, run), trying.seeds)
    return cells


def at_trial(profile: str, method: str, trial: Choice, known: Methods = METHODS) -> bool:
    """Whether the method's preset has the settings of the trial, but for what whole trainings asked for."""
    preset = PROFILES[profile].presets[0]
    run: Any = with_changes(resolve(known, method, trial.preset or preset), trial.changes)
    run = with_changes(run, trying_of(profile).mended.get(method, ()))
    return replace(run, preset=preset) == resolve(known, method, preset)
