"""Settings of guidance: what the sweep tries, the rule that chooses, and what was chosen (sweep.csv beside this file).

The sweep measures every combination on seeds that no table reports, judged by another classifier than the table's and
compared with training images. The rule: of the settings with which every class keeps at least half of the recall of
unconditional samples, in the mean over the seeds, the one with the highest mean diagonal; of equals the smaller weight.
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
WEIGHTS = {SUBJECT: (0.003, 0.01, 0.03, 0.05, 0.1), PLAIN: (1e-4, 3e-4, 1e-3, 3e-3, 1e-2)}
LONGER = (1, 2)
"""Steps, as multiples of training's."""
UNSWEPT = {SUBJECT: Guidance(0.03, centred=True), PLAIN: Guidance(1e-3)}
"""Where there is no sweep of a profile."""


@dataclass(frozen=True)
class Line:
    """One setting measured on one run. recall: the least share, over the classes, of unconditional recall."""

    profile: str
    dataset: str
    row: str
    seed: int
    weight: float
    steps: int
    centred: bool
    accuracy: float
    recall: float
    ended: str


def tried(row: str, steps: int) -> list[Guidance]:
    """Every setting of the sweep, for a method whose training chains have so many steps."""
    centred = (False, True) if row == SUBJECT else (False,)
    return [Guidance(w, k * steps, c) for w, k, c in product(WEIGHTS[row], LONGER, centred)]


def best(lines: Sequence[Line]) -> Guidance | None:
    """What the rule chooses of one method's lines; None where there are none."""
    groups: dict[tuple[float, int, bool], list[Line]] = {}
    for line in lines:
        groups.setdefault((line.weight, line.steps, line.centred), []).append(line)
    if not groups:
        return None

    def order(setting: tuple[float, int, bool]) -> tuple[float, float, float]:
        own = groups[setting]
        kept = mean(line.recall for line in own)
        # where no setting keeps enough, the one that keeps most
        return (min(kept, RECALL), mean(line.accuracy for line in own), -setting[0])

    weight, steps, centred = max(groups, key=order)
    return Guidance(weight, steps, centred)


def chosen(profile: str, dataset: str, row: str) -> tuple[Guidance, bool]:
    """The guidance of a row, and whether a sweep of this profile and data set chose it. smoke has quick's."""
    profile = "quick" if profile == "smoke" else profile
    lines = [x for x in read(KEPT) if (x.profile, x.dataset, x.row) == (profile, dataset, row)]
    found = best(lines)
    return (UNSWEPT[row], False) if found is None else (found, True)


def read(path: Path) -> list[Line]:
    """The lines of a sweep.csv; see `read_lines`."""
    return read_lines(path, Line, "the sweep writes it anew: make conditional-sweep KEEP=1")


def as_csv(lines: Iterable[Line]) -> str:
    """The text of a sweep.csv."""
    return lines_as_csv(lines, Line)
