"""The sweep over settings of composed sampling: a row each, and what the rule chooses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean

from clel.storage.atomic import write_atomically
from experiments.compositional.rows import as_csv, mean_or_none
from experiments.compositional.settings import KEPT, RULE, ComposedLine, Drawing, best, read_sweep, scores_of
from experiments.measured.artefact import Found, page, tex
from experiments.printing.markup import Grid, Header, Text
from experiments.printing.numbers import number
from experiments.reading.csv_rows import lines_as_csv


def lines_of(found: Sequence[Found]) -> list[ComposedLine]:
    """A line for each setting and run that was measured, of means over the triples."""
    lines = []
    for one in found:
        own = [c for c in (one.values or {"asked": ()})["asked"] if len(c["words"]) == 3]
        distance = mean_or_none(c["distance"] for c in own)
        if distance is not None:
            d, share = one.protocol.drawing, fmean(c["all"] for c in own)
            setting = (d.weight, d.steps, d.start, d.centred, d.restarts)
            lines.append(ComposedLine(one.cell.dataset, one.cell.seed, *setting, share, distance))
    return lines


def keep_lines(found: Sequence[Found]) -> None:
    """Write the lines into the project's file, replacing those of the same data set."""
    lines = lines_of(found)
    others = [line for line in read_sweep(KEPT) if line.dataset not in {line.dataset for line in lines}]
    write_atomically(KEPT, lines_as_csv([*others, *lines], ComposedLine))


def grid_of(scores: Mapping[Drawing, tuple[float, float]]) -> Grid:
    """A row a setting."""
    chosen = best(scores)
    headers = [
        Header((name,))
        for name in ("weight", "steps", "start", "centred, restarts", "all three", "distance ↓", "chosen")
    ]
    lines = [
        [
            Text(f"{d.weight:g}"),
            Text(str(d.steps)),
            Text(d.start),
            Text(f"{'yes' if d.centred else 'no'}, {d.restarts}"),
            Text(number(share, 3)),
            Text(number(distance, 2)),
            Text("yes" if d == chosen else ""),
        ]
        for d, (share, distance) in scores.items()
    ]
    return Grid(headers, lines)


def contents(name: str, found: Sequence[Found], taken: Drawing, above: Sequence[str]) -> dict[str, str | bytes]:
    """The files of the sweep; `taken` is what the artefact has."""
    scores = scores_of(lines_of(found))
    lines = [f"Rule: {RULE}.", *(f"Outcome: {line.strip()}." for line in sweep_outcome(found, taken)), *above]
    if not scores:
        return {f"{name}.md": "\n\n".join([*lines, "No run has been measured.\n"])}
    grid = grid_of(scores)
    return {f"{name}.md": page(lines, grid), f"{name}.tex": tex(lines, grid), f"{name}.csv": as_csv(found)}


def sweep_outcome(found: Sequence[Found], taken: Drawing) -> list[str]:
    """What the rule chooses, and what the artefact has."""
    scores = scores_of(lines_of(found))
    if not scores:
        return ["nothing was measured yet"]
    chosen = best(scores)
    same = "which is what the artefact takes" if chosen == taken else f"the artefact takes {taken.words}"
    return [f"the rule chooses {chosen.words}; {same}"]
