"""The comparison of two engines for reading: its table, and the lines above."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from experiments.engines.compare import LEVEL, Comparison
from experiments.engines.runs import distinct, of_row
from experiments.headings import NAMES, is_inception
from experiments.markup import DASH, Footnotes, Grid, Header, Text
from experiments.numbers import number, spread

RULE = (
    f"Two means agree where 0 lies in the {1 - LEVEL:.0%} interval of their difference: where Welch's two-sided p is "
    f"at least {LEVEL:g}. The standard error is the square root of s_a^2 / n_a + s_b^2 / n_b, with the sample standard "
    "deviation s over the n seeds of each side. Of engines that are alike the rule calls one in twenty different; with "
    "three seeds a side it cannot see differences below about three standard errors."
)
SEEDS = (
    "Distances of the single seeds, in order. A seed means the same first weights, batches and noise with both "
    "engines, but rounding sends its runs different ways, so that they are not compared in pairs."
)


def about(found: Comparison, a: Path, b: Path) -> list[str]:
    """The lines above the table, "Name: text": what was compared, the outcome, where the runs are from."""
    both = pd.concat(found.runs)
    agree = found.table["agrees"].eq(True)
    others = list(found.table[~agree]["title"])
    half = (found.table["high"] - found.table["low"]).astype(float) / 2
    loose = found.table[agree & (half > found.table[["distance_a_mean", "distance_b_mean"]].max(axis=1))]
    wide = [f"{row['title']} ({number(row['low'], 1)} to {number(row['high'], 1)})" for _, row in loose.iterrows()]
    data = " / ".join(NAMES.get(name, name) for name in distinct(both, "dataset"))
    lines = [
        f"Engines: {found.engines[0]} ({a.name}) against {found.engines[1]} ({b.name}), data set {data}, seeds "
        f"{', '.join(map(str, sorted(set(both['seed']))))}; all other settings are the same.",
        f"Outcome: {int(agree.sum())} of {len(agree)} methods agree within the spread"
        f"{'; not, or not known to: ' if others else ''}{', '.join(others)}.",
    ]
    if wide:
        lines.append(
            f"Undecided: the seeds of {', '.join(wide)} lie so far apart that the interval of the difference is wider "
            "than the distances themselves: a difference as large as these would agree."
        )
    if found.left_out:
        lines.append(f"Left out: {', '.join(found.left_out)}; both tables have the same runs of them.")
    commits = " / ".join(dict.fromkeys(sha[:12] for sha in distinct(both, "provenance_git_sha")))
    return [*lines, f"Commit: {commits or 'not recorded'}."]


def engines_grid(found: Comparison) -> Grid:
    """The table: a row a method, distances and training time with both engines side by side."""
    notes = Footnotes()
    distances = f"{distance_name(found)} ↓"
    rule, seeds, seconds = notes.mark(RULE), notes.mark(SEEDS), notes.mark(_machines(found))
    headers = [Header(("",)), *(Header((engine,), group=distances) for engine in found.engines)]
    headers += [Header(("difference",), (rule,)), Header(("its standard", "error"), (rule,)), Header(("p",), (rule,))]
    headers += [Header(("agree",), (rule,))]
    headers += [Header(("seeds,", engine), (seeds,)) for engine in found.engines]
    headers += [Header((engine,), (seconds,), "training, s") for engine in found.engines]
    lines = []
    for row, numbers in found.table.iterrows():
        failed = [
            f"{engine}, {numbers[f'failures_{side}']}"
            for engine, side in zip(found.engines, "ab", strict=True)
            if numbers[f"failures_{side}"]
        ]
        marks = (notes.mark(f"{numbers['title']}: {'; '.join(failed)}."),) if failed else ()
        line = [Text(str(numbers["title"]), marks)]
        line += [Text(f"{spread(numbers, f'distance_{side}') or DASH} ({_count(numbers, side)})") for side in "ab"]
        line += [Text(number(numbers[name], 2) or DASH) for name in ("difference", "standard_error", "p")]
        line += [Text({True: "yes", False: "no"}.get(numbers["agrees"], "too few"))]
        line += [Text(_seeds(of_row(runs, str(row)))) for runs in found.runs]
        line += [Text(number(numbers[f"seconds_{side}"]) or DASH) for side in "ab"]
        lines.append(line)
    return Grid(headers, lines, notes.texts)


def distance_name(found: Comparison) -> str:
    """What the distance is called, with its feature space where that is not Inception's."""
    spaces = distinct(pd.concat(found.runs), "protocol_features")
    apart = "" if is_inception(spaces) else f" ({' / '.join(spaces) or 'unnamed'} features)"
    return f"{'Fréchet distance' if apart else 'FID'}, fresh chains{apart}"


def _count(numbers: pd.Series, side: str) -> str:
    n, runs = int(numbers[f"n_{side}"]), int(numbers[f"runs_{side}"])
    return f"n={n}" if n == runs else f"n={n}/{runs}"


def _seeds(runs: pd.DataFrame) -> str:
    return ", ".join(number(value, 2) or DASH for value in runs["fid_fresh"].where(runs["status"] == "ok"))


def _machines(found: Comparison) -> str:
    """What the seconds hold for."""
    where = []
    for engine, runs in zip(found.engines, found.runs, strict=True):
        device = " / ".join(distinct(runs, "provenance_device")) or "a device that was not recorded"
        threads = " / ".join(f"{float(n):.0f}" for n in distinct(runs, "provenance_threads")) or "?"
        where.append(f"{engine} on {device}, threads {threads}")
    return (
        f"Training steps alone, mean over the seeds; {'; '.join(where)}. Other runs may have been at work beside them: "
        "make speed-memory measures speed."
    )
