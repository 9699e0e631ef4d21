"""How composed samples are drawn: the settings, those that are tried, and the rule that chooses among them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product

from clel.config import choose, require
from experiments.tune.grids import Trying

STARTS = ("noise", "samples")
"""Where chains start: uniform noise, or samples of the run, which are chains that nothing pulled."""
TUNING_SEEDS = Trying().seeds
"""Of the runs that settings are chosen on; tables count from 0."""


@dataclass(frozen=True)
class Drawing:
    """How chains on E(x) - w sum_a s_a u(x).z_a are run."""

    weight: float
    """w of each attribute."""
    steps: int
    """Langevin steps with the pull."""
    start: str = "noise"
    """noise or samples."""
    centred: bool = True
    """Whether the mean of all latents is taken off first."""

    def __post_init__(self) -> None:
        require(self.weight >= 0, f"WEIGHT is {self.weight:g}; expected 0 or more")
        require(self.steps >= 0, f"STEPS is {self.steps}; expected 0 or more")
        choose(dict.fromkeys(STARTS), self.start, "start")

    @property
    def words(self) -> str:
        """For people."""
        centred = ", latents centred" if self.centred else ""
        return f"weight {self.weight:g} an attribute, {self.steps} steps from {self.start}{centred}"


@dataclass(frozen=True)
class Protocol:
    """One measurement of a run."""

    drawing: Drawing
    triples: tuple[tuple[str, str, str], ...]
    alone: tuple[str, ...]
    """Values that are asked for by themselves, beside the triples."""
    samples: int
    """Chains for each thing that is asked."""
    whole: bool = False
    """Whether only whole triples are asked for, as the sweep does, and not their subsets and NOT."""
    version: int = 1
    """To be raised when the code changes what the numbers are."""


WEIGHTS = (0.01, 0.03, 0.1, 0.3)


def tried(steps: int) -> list[Drawing]:
    """The settings of the sweep on a data set whose chains have so many steps."""
    grid = product(WEIGHTS, (steps, 2 * steps), (True, False))
    noise = [Drawing(weight, length, "noise", centred) for weight, length, centred in grid]
    return noise + [Drawing(weight, steps, "samples") for weight in WEIGHTS]


MARGIN = 0.05
RULE = (
    f"of the settings whose share of samples with all three attributes is within {MARGIN:g} of the highest, the one "
    "with the lowest distance within the three; shares and distances are means over triples and seeds"
)


def best(scores: Mapping[Drawing, tuple[float, float]] | Sequence[tuple[Drawing, tuple[float, float]]]) -> Drawing:
    """The setting that RULE chooses, from (share of all three, distance within them) of each."""
    held = dict(scores)
    highest = max(share for share, _ in held.values())
    return min((d for d, (share, _) in held.items() if share >= highest - MARGIN), key=lambda d: held[d][1])
