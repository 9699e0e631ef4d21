"""The declared trials of every method: as many for each, a learning rate and one knob that its authors vary.

The rule: each trial is trained with every seed of SEEDS, which no table reports, and scored by the mean Frechet
distance of fresh samples to held-out images; the preset has the settings of the best trial. A trial with a seed that
did not end well is not chosen.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from baselines import METHODS
from clel.config import choose
from clel.feature_choice import settled
from clel.run import Methods, resolve
from experiments.grid import PROFILES, Cell, seeded
from experiments.variants import Changes, Setting, changed, combinations, label, words

SEEDS = (100, 101, 102)
"""Seeds of the trials. Tables count from 0."""


@dataclass(frozen=True)
class Grid:
    """The settings of a method that are tried, every combination of them, and why these."""

    settings: tuple[Setting, ...]
    why: str

    @property
    def trials(self) -> list[Changes]:
        """What each trial changes."""
        return combinations(self.settings)


QUICK = {
    "igebm": Grid(
        (Setting("lr", (1e-3, 3e-3, 1e-2)), Setting("langevin.step_size", (10.0, 30.0))),
        "step size: 10, 100 and 500 in the release's commands, 10 of them on 32x32 images",
    ),
    "plain": Grid(
        (Setting("lr", (5e-4, 1e-3, 2e-3)), Setting("langevin.step_size", (30.0, 100.0))),
        "step size: 100 in CLEL's and Improved CD's code, 10 in IGEBM's, for the same noise",
    ),
    "vae": Grid(
        (Setting("lr", (3e-3, 1e-2, 3e-2)), Setting("spectral", (0.01, 0.1))),
        "lambda of the spectral regularisation: 0.01 and 0.1 among NVAE's commands",
    ),
    "vaebm": Grid(
        (Setting("lr", (5e-5, 1e-4, 2e-4)), Setting("langevin.step_size", (0.05, 0.1))),
        "step size of the chains: VAEBM's commands have another one for each data set",
    ),
    "recovery_likelihood": Grid(
        (Setting("lr", (5e-4, 1e-3, 2e-3)), Setting("langevin.step_variance", (2e-4, 6e-4))),
        "step variance b^2: 2e-4 in the authors' code, for three times as many steps",
    ),
    "clel": Grid(
        (Setting("lr", (5e-4, 1e-3, 2e-3)), Setting("beta", (0.003, 0.01))),
        "beta: 0.001, 0.01 and 0.1 in the paper's ablation; 0.01 there is its best",
    ),
}

GRIDS: Mapping[str, Mapping[str, Grid]] = {"quick": QUICK, "smoke": QUICK}
"""By profile and method."""


def trial_cells(
    profile: str, methods: Sequence[str] = (), device: str = "auto", known: Methods = METHODS
) -> list[Cell]:
    """A cell for each method, trial and seed, measured on held-out images; by default of all methods with a grid.

    Raises:
        ConfigError: an unknown profile or method, or one that has no grid.
    """
    grids = choose(GRIDS, profile, "profile with trials")
    size = PROFILES[profile]
    cells = []
    for method in methods or grids:
        grid = choose(grids, method, "method with trials")
        run = resolve(known, method, size.presets[0], dataset=size.dataset, device=device)
        # looks during training are not needed, and cost a tenth of it
        train = replace(run.train, **{**dict(size.cut_train), "evaluate_every": 0, "sample_every": 0})
        measured = {**dict(size.cut_evaluate), "rounds": 1, "beyond": 1.0, "bootstrap": 0, "reference": "test"}
        run = replace(run, train=train, evaluate=settled(replace(run.evaluate, **measured), size.dataset))
        for trial in grid.trials:
            cell = Cell(
                f"{method}[{label(trial)}]", f"{known[method].title} ({words(trial)})", profile, changed(run, trial)
            )
            cells += seeded(cell, SEEDS)
    return cells


def at_trial(profile: str, method: str, trial: Changes, known: Methods = METHODS) -> bool:
    """Whether the method's preset has the settings of the trial."""
    run: Any = resolve(known, method, PROFILES[profile].presets[0])
    return changed(run, trial) == run
