"""The comparisons of a table for reading: their own table, the lines above it, and the lines for a terminal."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from experiments.printing.markup import DASH, Footnotes, Grid, Header, Text
from experiments.printing.numbers import mean_and_std, number, with_interval
from experiments.table1.comparisons.compare import Compared
from experiments.table1.differences import LEVEL

KEPT = ("Seeds", "Command", "Commit", "Warning")
"""Of the lines above Table 1, those that are true of its comparisons too; the others are read there."""


def about(found: Compared, above: Sequence[str]) -> list[str]:
    """The lines above the table, "Name: text"; `above` are those above Table 1."""
    title = found.subject["title"]
    lines = [
        f"Comparisons: every trained row of table1.md against {title} ({_distance(found.subject)}), in the Fréchet "
        "distance of fresh chains. Protocol: that of table1.md."
    ]
    family, least = _family(found), found.table["p_least"].min()
    if family * least >= LEVEL:
        lines.append(
            f"Too few seeds: p cannot be below {_p(least)} here, {_p(min(1.0, family * least))} after the correction, "
            "so that no row can be decided, whatever the distances."
        )
    return [*lines, *(line for line in above if line.partition(":")[0] in KEPT)]


def comparisons_grid(found: Compared, name: str) -> Grid:
    """The table: a row for each of `found.table`; `name` is what the distance is called."""
    notes, title = Footnotes(), str(found.subject["title"])
    interval = notes.mark(
        f"The row's mean less {title}'s, with the 95 % interval by Welch (unequal variances), over the n runs that "
        "ended well."
    )
    share = notes.mark(
        f"Of all pairs of a run of {title} and one of the row, the share in which the former has the lower distance, "
        "equal ones counted by half: U / (n m) of Mann and Whitney. A run that diverged counts as higher than all that "
        "ended well; runs that failed otherwise, or are missing, do not count."
    )
    word = notes.mark(
        f"Lower or higher than {title}'s where p is below {LEVEL:g} and the means do not point the other way; "
        "otherwise undecided, which is not the same as equal. p: Mann and Whitney's two-sided test, which one run that "
        "broke away does not sway, exact, with ties the normal approximation corrected for them; then Holm's "
        f"correction for the {_family(found)} rows that were tested."
    )
    failed = [f"{row['title']}: {row['failures']}" for _, row in found.table.iterrows() if row["failures"]]
    without = notes.mark(f"Without a result: {'; '.join(failed)}.") if failed else None
    headers = [
        Header(("",)),
        Header((f"{name} ↓",)),
        Header((f"difference from {title}", "[95 % interval]"), (interval,)),
        Header(("probability that a run", f"of {title} is lower"), (share,)),
        Header(("p", "(Holm)"), (word,)),
        Header(("outcome",), (word,)),
    ]
    lines = []
    for _, row in found.table.iterrows():
        marks = (without,) if without is not None and row["failures"] else ()
        line = [Text(str(row["title"]), marks), Text(_distance(row))]
        line += [Text(with_interval(row["difference"], row["low"], row["high"]) or DASH)]
        line += [Text(number(row["probability"], 2) or DASH), Text(_p(row["p_holm"]) or DASH)]
        lines.append([*line, Text(str(row["outcome"]))])
    return Grid(headers, lines, notes.texts)


def closing(found: Compared | None) -> list[str]:
    """The words for a terminal, a line a row; none where nothing was compared."""
    if found is None:
        return []
    lines = ["", f"Compared with {found.subject['title']} (comparisons.md):"]
    for _, row in found.table.iterrows():
        p = _p(row["p_holm"])
        lines.append(f"  {row['title']:<24}{row['outcome']:>16}" + (f"  (p {p})" if p else ""))
    return lines


def _family(found: Compared) -> int:
    return int(found.table["p_ranks"].notna().sum())


def _distance(row: pd.Series) -> str:
    n, runs = int(row["n"]), int(row["runs"])
    return f"{mean_and_std(row, 'distance') or DASH} (n={n if n == runs else f'{n}/{runs}'})"


def _p(value: float) -> str:
    return "< 0.001" if value < 0.001 else number(value, 3)
