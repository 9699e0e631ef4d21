"""What the ladders say: whether each is in order at a side, the side that follows, and the table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from experiments.features.ladders import CLEAN, LADDERS
from experiments.printing.markup import Footnotes, Grid, Header, Text
from experiments.printing.numbers import number

MEASURES = ("distance", "kid")
Order = tuple[float, ...]


def orders(rows: pd.DataFrame) -> dict[tuple[str, str, int], Order]:
    """By ladder, distance (Frechet, kernel) and seed its strengths, 0 for the clean images, from the nearest to the
    farthest.

    rows: those of one side.
    """
    found = {}
    for seed, drawn in rows.groupby("seed"):
        clean = drawn[drawn["ladder"] == CLEAN[0]]
        for name in ladders(drawn):
            steps = pd.concat([clean, drawn[drawn["ladder"] == name]])
            for measure in MEASURES:
                by_distance = steps.sort_values(measure, kind="stable")["strength"]
                found[name, measure, int(str(seed))] = tuple(float(s) for s in by_distance)
    return found


def right(order: Order) -> bool:
    """Whether what is stronger is farther."""
    return list(order) == sorted(order)


def ladders(rows: pd.DataFrame) -> list[str]:
    """Those that were measured, in the order of their declaration."""
    return [name for name in LADDERS if name in set(rows["ladder"])]


def by_side(rows: pd.DataFrame) -> dict[int, pd.DataFrame]:
    """The rows of each side, from the smallest."""
    return {int(side): rows[rows["side"] == side] for side in sorted(rows["side"].unique())}


def smallest_side_in_order(rows: pd.DataFrame) -> int | None:
    """The smallest side at which every ladder is in order, in both distances and in each draw; None where none is.

    The right order is known, so it and not that of the largest side is asked for: where two rungs are nearly as far
    off, a draw may turn them round at any side.
    """
    return next((side for side, part in by_side(rows).items() if all(map(right, orders(part).values()))), None)


def features_grid(rows: pd.DataFrame) -> Grid:
    """A row a rung with Frechet and kernel distance at each side; below, what follows from them."""
    from scipy.stats import spearmanr  # slow to import

    sides, notes = by_side(rows), Footnotes()
    both = notes.mark("Fréchet distance to the reference images, after the stroke KID × 1,000; means over the draws.")
    order = notes.mark(
        "Ladders in which both distances grow with every strength from the clean images on, in each draw."
    )
    same = notes.mark("Whether every ladder has, in both distances and in each draw, its order at the largest side.")
    rank = notes.mark(
        "Spearman's rank correlation of the Fréchet distances of all rungs with those at the largest side."
    )
    headers = [Header(("",)), Header(("strength",))]
    headers += [Header((f"{side} pixels",), (both,)) for side in sides]
    lines = []
    last = ""
    for ladder, strength in dict.fromkeys(zip(rows["ladder"], rows["strength"], strict=True)):
        unit = f"{ladder}, {LADDERS[ladder].unit}" if ladder in LADDERS else "clean"
        line = [Text("" if ladder == last else unit), Text(f"{strength:g}" if ladder in LADDERS else "")]
        for part in sides.values():
            row = part[(part["ladder"] == ladder) & (part["strength"] == strength)][list(MEASURES)].mean()
            line.append(Text(f"{number(row['distance'], 1)} / {number(row['kid'], 1, 1000)}"))
        lines.append(line)
        last = ladder
    largest = sides[max(sides)]
    names, wanted, far = ladders(rows), orders(largest), largest["distance"].to_numpy()
    summary: dict[tuple[str, tuple[int, ...]], list[str]] = {("ladders in order", (order,)): []}
    summary |= {("order of the largest side", (same,)): [], ("rank correlation", (rank,)): []}
    in_order, as_largest, correlation = summary.values()
    for part in sides.values():
        found = orders(part)
        good = sum(all(right(steps) for (ladder, *_), steps in found.items() if ladder == name) for name in names)
        in_order.append(f"{good} of {len(names)}")
        as_largest.append("yes" if found == wanted else "no")
        correlation.append(number(spearmanr(part["distance"].to_numpy(), far).statistic, 3))
    lines += [[Text(name, marks), Text(""), *map(Text, cells)] for (name, marks), cells in summary.items()]
    return Grid(headers, lines, notes.texts)


def about(
    rows: pd.DataFrame,
    title: str,
    other: str,
    content: str,
    default: int,
    made: Sequence[Mapping[str, Any]],
    again: str,
) -> list[str]:
    """The lines above the table, "Name: text"."""
    n, space = int(rows["images"].iloc[0]), str(rows["features"].iloc[0])
    draws = rows["seed"].nunique()
    commits = dict.fromkeys(
        f"{str(p['git_sha'])[:12]}{' with uncommitted changes' if p.get('git_dirty') else ''}" for p in made
    )
    machines = dict.fromkeys(f"{p['device']}, torch {p['torch']}" for p in made)
    return [
        f"Ladders: corruptions of images of {title} (content {content[:12]}), seen in {space} features; {n:,} images a "
        f"rung, compared with {n:,} others of the same split; draws: {draws}; another data set: {other}.",
        "Rule: the smallest side to which images may be resized at which every ladder is in order, in both "
        f"distances and in each draw. It is {smallest_side_in_order(rows) or 'none of these'}; "
        f"the default of lite0 is {default}.",
        f"Command: {again}",
        f"Commit: {'; '.join(commits)}. Machine: {'; '.join(machines)}.",
    ]
