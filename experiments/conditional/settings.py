"""Settings of guidance: what the sweep tries, the rule that chooses, and what was chosen (sweep.csv beside this file).

The sweep measures every combination on seeds that no table reports, judged by another classifier than the table's and
compared with training images. The rule: of the settings with which every class keeps at least half of the recall of
unconditional samples, and whose mean diagonal is within MARGIN of the highest of these, the one that keeps most recall;
all in the mean over the seeds, and of equals the smaller weight.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from statistics import mean

from baselines import PLAIN, SUBJECT
from clel.sampling.conditional import Guidance
from experiments.reading.csv_rows import lines_as_csv, read_lines

KEPT = Path(__file__).with_name("sweep.csv")
"""The project's own sweep."""
ROWS = (SUBJECT, PLAIN)
"""Methods that are guided: CLEL by its latents, the plain EBM by a classifier."""
RECALL = 0.5
"""Share of unconditional recall that every class is to keep."""
MARGIN = 0.01
"""Differences of the mean diagonal that are no reason to give recall away."""
WEIGHTS = {SUBJECT: (0.01, 0.02, 0.03), PLAIN: (1e-4, 3e-4, 1e-3, 3e-3, 1e-2)}
LONGER = {SUBJECT: (2, 3), PLAIN: (1, 2)}
"""Steps, as multiples of training's."""
SPREADS = ((0.0, 0), (1.0, 0), (0.0, 8), (1.0, 8), (1.5, 8), (2.0, 8))
"""Spread and restarts, of CLEL's chains alone."""
UNSWEPT = {SUBJECT: Guidance(0.02, centred=True, spread=2.0, restarts=8), PLAIN: Guidance(1e-3)}
"""Where there is no sweep of a profile."""


@dataclass(frozen=True)
class GuidedLine:
    """One setting measured on one run. recall: the least share, over the classes, of unconditional recall."""

    profile: str
    dataset: str
    row: str
    seed: int
    weight: float
    steps: int
    centred: bool
    spread: float
    restarts: int
    accuracy: float
    recall: float
    ended: str

    @property
    def guidance(self) -> Guidance:
        """The setting."""
        return Guidance(self.weight, self.steps, self.centred, spread=self.spread, restarts=self.restarts)


def tried(row: str, steps: int) -> list[Guidance]:
    """Every setting of the sweep, for a method whose training chains have so many steps."""
    lengths = [k * steps for k in LONGER[row]]
    if row != SUBJECT:
        return [Guidance(w, length) for w, length in product(WEIGHTS[row], lengths)]
    grid = product(WEIGHTS[row], lengths, SPREADS)
    return [Guidance(w, length, centred=True, spread=s, restarts=r) for w, length, (s, r) in grid]


def by_setting(lines: Iterable[GuidedLine]) -> dict[Guidance, list[GuidedLine]]:
    """The lines of each setting, in their order."""
    groups: dict[Guidance, list[GuidedLine]] = {}
    for line in lines:
        groups.setdefault(line.guidance, []).append(line)
    return groups


def best(lines: Sequence[GuidedLine]) -> Guidance | None:
    """What the rule chooses of one method's lines; None where there are none."""
    groups = by_setting(lines)
    kept = {setting: mean(line.recall for line in own) for setting, own in groups.items()}
    right = {setting: mean(line.accuracy for line in own) for setting, own in groups.items()}
    # where no setting keeps enough, those that keep most
    enough = [setting for setting in kept if kept[setting] >= min(RECALL, max(kept.values()))]
    highest = max((right[setting] for setting in enough), default=0.0)
    near = [setting for setting in enough if right[setting] >= highest - MARGIN]
    return max(near, key=lambda setting: (kept[setting], right[setting], -setting.weight), default=None)


def chosen(profile: str, dataset: str, row: str) -> tuple[Guidance, bool]:
    """The guidance of a row, and whether a sweep of this profile and data set chose it. smoke has quick's."""
    profile = "quick" if profile == "smoke" else profile
    lines = [x for x in read_sweep(KEPT) if (x.profile, x.dataset, x.row) == (profile, dataset, row)]
    found = best(lines)
    return (UNSWEPT[row], False) if found is None else (found, True)


def read_sweep(path: Path) -> list[GuidedLine]:
    """The lines of a sweep.csv; see `read_lines`."""
    return read_lines(path, GuidedLine, "the sweep writes it anew: make conditional-sweep KEEP=1")


def as_csv(lines: Iterable[GuidedLine]) -> str:
    """The text of a sweep.csv."""
    return lines_as_csv(lines, GuidedLine)
