"""The sweep over settings of composed sampling: a row each, and what the rule chooses."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

from experiments.compositional.rows import as_csv, mean_or_none
from experiments.compositional.settings import RULE, Drawing, best
from experiments.markup import Grid, Header, Text
from experiments.measured.artefact import Found, page, tex
from experiments.numbers import number

Scores = dict[Drawing, tuple[float, float]]


def scores_of(found: Sequence[Found]) -> Scores:
    """(share of samples with all three attributes, distance within the three) of each setting: means over all."""
    scores: Scores = {}
    for drawing in dict.fromkeys(one.protocol.drawing for one in found):
        own = [
            c
            for one in found
            if one.protocol.drawing == drawing and one.values is not None
            for c in one.values["asked"]
            if len(c["words"]) == 3
        ]
        distance = mean_or_none(c["distance"] for c in own)
        if distance is not None:
            scores[drawing] = (fmean(c["all"] for c in own), distance)
    return scores


def grid_of(scores: Scores) -> Grid:
    """A row a setting."""
    chosen = best(scores)
    headers = [Header((name,)) for name in ("weight", "steps", "start", "centred", "all three", "distance ↓", "chosen")]
    lines = [
        [
            Text(f"{d.weight:g}"),
            Text(str(d.steps)),
            Text(d.start),
            Text("yes" if d.centred else "no"),
            Text(number(share, 3)),
            Text(number(distance, 2)),
            Text("yes" if d == chosen else ""),
        ]
        for d, (share, distance) in scores.items()
    ]
    return Grid(headers, lines)


def contents(name: str, found: Sequence[Found], taken: Drawing, above: Sequence[str]) -> dict[str, str | bytes]:
    """The files of the sweep; `taken` is what the artefact has."""
    scores = scores_of(found)
    lines = [f"Rule: {RULE}.", *(f"Outcome: {line.strip()}." for line in words(found, taken)), *above]
    if not scores:
        return {f"{name}.md": "\n\n".join([*lines, "No run has been measured.\n"])}
    grid = grid_of(scores)
    return {f"{name}.md": page(lines, grid), f"{name}.tex": tex(lines, grid), f"{name}.csv": as_csv(found)}


def words(found: Sequence[Found], taken: Drawing) -> list[str]:
    """What the rule chooses, and what the artefact has."""
    scores = scores_of(found)
    if not scores:
        return ["nothing was measured yet"]
    chosen = best(scores)
    same = "which is what the artefact takes" if chosen == taken else f"the artefact takes {taken.words}"
    return [f"the rule chooses {chosen.words}; {same}"]
