"""The trials for reading: a row a trial, the chosen one of each method marked, and the lines above the table."""

from __future__ import annotations

import re
from collections.abc import Sequence

from baselines import METHODS
from experiments.printing.headings import data_title
from experiments.printing.markup import DASH, Footnotes, Grid, Header, Text
from experiments.printing.numbers import number
from experiments.sweep.grid import Cell
from experiments.sweep.variants import changes_in_words
from experiments.tune.grids import GRIDS, at_trial, trying_of
from experiments.tune.trials import Scored, best

RULE = (
    "The mean over the seeds; ± sample standard deviation. The rule chooses the lowest mean among the trials of a "
    "method of which every seed ended well, once all of them were trained."
)


def by_method(rows: Sequence[Scored]) -> dict[str, list[Scored]]:
    """The trials of each method, in their order."""
    found: dict[str, list[Scored]] = {}
    for row in rows:
        found.setdefault(re.split(r"[\[:]", row.row)[0], []).append(row)
    return found


def about(rows: Sequence[Scored], cells: Sequence[Cell], command: str) -> list[str]:
    """The lines above the table, "Name: text"."""
    methods = by_method(rows)
    trials = [trial for row in rows for trial in row.trials if trial is not None]
    done = sum(row.complete for row in rows)
    commits = " / ".join(dict.fromkeys(trial.git_sha[:12] for trial in trials if trial.git_sha))
    machines = " / ".join(dict.fromkeys(trial.device for trial in trials if trial.device))
    real = " / ".join(dict.fromkeys(f"{t.n_real} images of {t.reference}" for t in trials if t.reference))
    dataset = data_title(cells[0].dataset)
    waiting = [METHODS[method].title for method, own in methods.items() if not all(row.complete for row in own)]
    trying = trying_of(cells[0].profile)
    seeds = f"the seed{'s' * (len(trying.seeds) > 1)} {', '.join(map(str, trying.seeds))}"
    length = "" if trying.length == 1 else f", and {trying.length} of the preset's iterations"
    if trying.changes:
        length += f" with {changes_in_words(trying.changes)} where a method has it"
    lines = [
        f"Trials: settings of the profile {cells[0].profile}, data set {dataset}; {len(rows) // len(methods)} a "
        f"method, each with {seeds}, which no table reports{length}. {done} of {len(rows)} "
        "trials are complete.",
        f"Score: Fréchet distance of fresh chains to {real or 'held-out images'}, mean over the seeds; the lowest is "
        "chosen.",
    ]
    if len({trial.features_identity for trial in trials}) > 1:
        lines.append("Warning: the trials were measured in several feature spaces; their scores must not be compared.")
    if waiting:
        lines.append(f"Waiting: {', '.join(waiting)}: nothing is chosen before every trial was trained.")
    return [
        *lines,
        f"Command: {command}",
        f"Commit: {commits or 'not recorded'}. Machine: {machines or 'not recorded'}.",
    ]


def trials_grid(rows: Sequence[Scored], profile: str) -> Grid:
    """The table: what is set, score, seeds, divergences, and what the rule and the preset say."""
    notes = Footnotes()
    rule = notes.mark(RULE)
    preset = notes.mark(
        "chosen: by the rule. preset: what the method's preset has now; with other settings where trainings of the "
        "whole length at those of the trial broke down."
    )
    mended = trying_of(profile).mended
    headers = [Header(("",)), Header(("settings",)), Header(("distance to held-out images ↓",), (rule,))]
    headers += [Header(("seeds that", "ended well")), Header(("divergence", "events"))]
    headers += [Header(("",), (preset,))]
    lines = []
    for method, own in by_method(rows).items():
        grid, chosen = GRIDS[profile][method], best(own)
        why = notes.mark(f"{METHODS[method].title}: {grid.why}.")
        for place, (row, trial) in enumerate(zip(own, grid.trials, strict=True)):
            ended = [t for t in row.trials if t is not None]
            good = [t for t in ended if t.score is not None]
            score = DASH if row.score is None else number(row.score, 2)
            score += f" ± {number(row.spread, 2)}" if row.score is not None and row.spread is not None else ""
            failed = "; ".join(f"seed {t.seed}: {t.status}" for t in ended if t.score is None)
            marks = (notes.mark(f"{row.title}: {failed}."),) if failed else ()
            other = tuple(change for change in mended.get(method, ()) if change not in trial.changes)
            of_preset = ["preset, but for " + changes_in_words(other) if other else "preset"]
            words_of = ["chosen"] * (chosen is row) + of_preset * at_trial(profile, method, trial)
            lines.append(
                [
                    Text(METHODS[method].title if place == 0 else "", (why,) if place == 0 else ()),
                    Text(trial.words),
                    Text(score, marks),
                    Text(f"{len(good)} of {len(row.trials)}" if ended else "not trained"),
                    Text(str(sum(int(t.divergences or 0) for t in ended)) if ended else ""),
                    Text(", ".join(words_of)),
                ]
            )
    return Grid(headers, lines, notes.texts)
