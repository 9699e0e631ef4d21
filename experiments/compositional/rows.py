"""Measurements of runs -> rows: what was asked, what came of it, and what the bars of this artefact say of that."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

import pandas as pd

from clel.sampling.attributes import NOT
from experiments.compositional.asked import Triple, subsets
from experiments.measured.artefact import Found, values_of

TIMES, ENOUGH = 3.0, 0.8
"""One attribute alone reaches TIMES its base rate, or ENOUGH."""
COST = 0.15
"""The most that one more attribute takes off the share of one before it."""
CHANCE = 10.0
"""Times chance that three at once reach."""


@dataclass(frozen=True)
class Condition:
    """What came of one condition, over the runs: means, and the standard deviation of `all`.

    each: the share of samples that show each asked value, in the order asked. all: all of them at once. chance: the
    share of training images that have them all. values: the share of samples with every value of every attribute.
    distance: Frechet distance to the training images that have them; unasked: that of samples nothing was asked of.
    """

    asked: tuple[str, ...]
    n: int
    each: tuple[float, ...]
    all: float
    spread: float | None
    chance: float
    values: Mapping[str, float]
    distance: float | None
    unasked: float | None
    legible: float | None


Rows = Mapping[tuple[str, ...], Condition]


def rows_of(found: Sequence[Found]) -> Rows:
    """A row for each condition that was measured, by its words and in the order that they were asked in."""
    every: dict[tuple[str, ...], list[Mapping[str, Any]]] = {}
    for values in values_of(found):
        for condition in values["asked"]:
            every.setdefault(tuple(condition["words"]), []).append(condition)
    return {words: _row(words, own) for words, own in every.items()}


def _row(words: tuple[str, ...], own: Sequence[Mapping[str, Any]]) -> Condition:
    every = pd.Series([c["all"] for c in own], dtype=float)
    return Condition(
        words,
        len(own),
        tuple(fmean(shares) for shares in zip(*(c["each"] for c in own), strict=True)),
        float(every.mean()),
        float(every.std()) if len(own) > 1 else None,
        fmean(c["chance"] for c in own),
        {value: fmean(c["values"][value] for c in own) for value in own[0]["values"]},
        mean_or_none(c["distance"] for c in own),
        mean_or_none(c["distance_unasked"] for c in own),
        mean_or_none(c["legible"] for c in own),
    )


def mean_or_none(values: Iterable[float | None]) -> float | None:
    """The mean of those that there are."""
    held = [value for value in values if value is not None]
    return fmean(held) if held else None


def share(rows: Rows, asked: tuple[str, ...], value: str) -> float | None:
    """The share of samples of a condition that show a value, or, of "not red", that do not show it."""
    row = rows.get(asked)
    if row is None:
        return None
    plain = value.removeprefix(NOT)
    if value in row.values or plain == value:
        return row.values[value]
    return 1 - row.values[plain]


@dataclass(frozen=True)
class Bar:
    """A bar and how many of what it is asked of reach it."""

    words: str
    reached: int
    of: int
    worst: str

    @property
    def outcome(self) -> str:
        """For people."""
        return f"{self.words}: {self.reached} of {self.of}" + (f" (worst: {self.worst})" if self.worst else "")


def bars(rows: Rows, triples: Sequence[Triple]) -> list[Bar]:
    """The three bars, each over all that it can be asked of."""
    singles = [rows[s] for s in dict.fromkeys((v,) for t in triples for v in t) if s in rows and rows[s].chance]
    added = list(dict.fromkeys(pair for t in triples for pair in additions(t) if pair[0] in rows and pair[1] in rows))
    whole = [rows[t] for t in triples if t in rows]
    costs = [(before, after, value, drop(rows, before, after, value)) for before, after in added for value in before]
    found = [
        _bar(
            f"one attribute reaches {TIMES:g} times its base rate, or {ENOUGH:g}",
            [(row.all / min(TIMES * row.chance, ENOUGH), f"{row.asked[0]} {row.all:.2f}") for row in singles],
            lambda score: score >= 1,
        ),
        _bar(
            f"one more attribute costs one before it at most {COST:g}",
            [(-cost, f"{', '.join(after)}: {value} by {cost:.2f}") for _, after, value, cost in costs],
            lambda score: -score <= COST,
        ),
        _bar(
            f"three at once reach {CHANCE:g} times chance",
            [
                (row.all / row.chance, f"{', '.join(row.asked)} {row.all / row.chance:.1f}")
                for row in whole
                if row.chance
            ],
            lambda score: score >= CHANCE,
        ),
    ]
    return found


def _bar(words: str, scores: Sequence[tuple[float, str]], reached: Callable[[float], bool]) -> Bar:
    worst = min(scores, default=(0.0, ""))[1]
    return Bar(words, sum(reached(score) for score, _ in scores), len(scores), worst)


def additions(triple: Triple) -> list[tuple[tuple[str, ...], tuple[str, ...]]]:
    """Every subset of the triple that asks for something, with each that has one value more."""
    every = [s for s in subsets(triple) if s]
    return [(a, b) for a in every for b in every if len(b) == len(a) + 1 and set(a) < set(b)]


def drop(rows: Rows, before: tuple[str, ...], after: tuple[str, ...], value: str) -> float:
    """By how much the share of a value falls from one condition to another."""
    a, b = share(rows, before, value), share(rows, after, value)
    assert a is not None and b is not None
    return a - b


def as_csv(found: Sequence[Found]) -> str:
    """Every condition of every run in full, a line each."""
    lines = []
    for one in found:
        for c in () if one.values is None else one.values["asked"]:
            d = one.protocol.drawing
            line = {"run": one.cell.run_name, "seed": one.cell.seed, "asked": " and ".join(c["words"]) or "nothing"}
            line |= {"attributes": len(c["words"]), "samples": c["samples"], "all": c["all"], "chance": c["chance"]}
            line |= {f"share {k}": v for k, v in zip(("first", "second", "third"), c["each"], strict=False)}
            line |= {"distance": c["distance"], "distance_unasked": c["distance_unasked"], "legible": c["legible"]}
            line |= {f"shows {value}": v for value, v in c["values"].items()}
            lines.append(line | {"weight": d.weight, "steps": d.steps, "start": d.start, "centred": d.centred})
    return pd.DataFrame(lines).to_csv(index=False, lineterminator="\n")
