"""How composed samples are drawn: the settings, those that are tried, and the rule that chooses among them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from statistics import fmean

from clel.config import choose, require
from experiments.reading.csv_rows import read_lines
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
    restarts: int = 0
    """Times that chains start anew whose u(x) or h(x) is nearer to another value than to the one asked for."""

    def __post_init__(self) -> None:
        require(self.weight >= 0, f"WEIGHT is {self.weight:g}; expected 0 or more")
        require(self.steps >= 0, f"STEPS is {self.steps}; expected 0 or more")
        require(self.restarts >= 0, f"RESTARTS is {self.restarts}; expected 0 or more")
        choose(dict.fromkeys(STARTS), self.start, "start")

    @property
    def words(self) -> str:
        """For people."""
        centred = ", latents centred" if self.centred else ""
        anew = f", at most {self.restarts} restarts" if self.restarts else ""
        return f"weight {self.weight:g} an attribute, {self.steps} steps from {self.start}{centred}{anew}"


@dataclass(frozen=True)
class Composing:
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


KEPT = Path(__file__).with_name("sweep.csv")
"""The project's own sweep."""


@dataclass(frozen=True)
class ComposedLine:
    """One setting measured on one run. share: of samples with all three attributes; distance: within the three."""

    dataset: str
    seed: int
    weight: float
    steps: int
    start: str
    centred: bool
    restarts: int
    share: float
    distance: float

    @property
    def drawing(self) -> Drawing:
        """The setting."""
        return Drawing(self.weight, self.steps, self.start, self.centred, self.restarts)


def read_sweep(path: Path) -> list[ComposedLine]:
    """The lines of a sweep.csv; see `read_lines`."""
    return read_lines(path, ComposedLine, "the sweep writes it anew: make compositional-sweep KEEP=1")


WEIGHTS, RESTARTS = (0.01, 0.03, 0.1, 0.3), (0, 6)


def tried(steps: int) -> list[Drawing]:
    """The settings of the sweep on a data set whose chains have so many steps."""
    grid = product(WEIGHTS, (steps, 2 * steps), RESTARTS)
    noise = [Drawing(weight, length, "noise", restarts=restarts) for weight, length, restarts in grid]
    uncentred = [Drawing(weight, 2 * steps, "noise", centred=False) for weight in WEIGHTS]
    return noise + uncentred + [Drawing(weight, steps, "samples") for weight in WEIGHTS]


MARGIN = 0.05
RULE = (
    f"of the settings whose share of samples with all three attributes is within {MARGIN:g} of the highest, the one "
    "with the lowest distance within the three; shares and distances are means over triples and seeds"
)


def scores_of(lines: Sequence[ComposedLine]) -> dict[Drawing, tuple[float, float]]:
    """(share of samples with all three attributes, distance within the three) of each setting: means over the seeds."""
    scores = {}
    for drawing in dict.fromkeys(line.drawing for line in lines):
        own = [line for line in lines if line.drawing == drawing]
        scores[drawing] = (fmean(line.share for line in own), fmean(line.distance for line in own))
    return scores


def swept(dataset: str) -> Drawing | None:
    """What the rule chooses of the project's sweep of a data set; None where there is none."""
    scores = scores_of([line for line in read_sweep(KEPT) if line.dataset == dataset])
    return best(scores) if scores else None


def best(scores: Mapping[Drawing, tuple[float, float]] | Sequence[tuple[Drawing, tuple[float, float]]]) -> Drawing:
    """The setting that RULE chooses, from (share of all three, distance within them) of each."""
    held = dict(scores)
    highest = max(share for share, _ in held.values())
    return min((d for d, (share, _) in held.items() if share >= highest - MARGIN), key=lambda d: held[d][1])
