"""The comparison of two engines for reading: its table, and the lines above."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from experiments.engines.compare import AGREE, DIFFER, MARGIN, UNDECIDED, Comparison
from experiments.engines.runs import distinct, of_row
from experiments.printing.headings import data_title, is_fid
from experiments.printing.markup import DASH, Footnotes, Grid, Header, Text
from experiments.printing.numbers import mean_and_std, number, with_interval
from experiments.table1.differences import LEVEL

WITHIN = f"{100 * MARGIN:g} %"
RULE = (
    "Of the means' difference, with the 95 % interval of Welch's test. p, different: two-sided, of that test. p, near: "
    f"the larger of two one-sided tests that the first engine's mean is within ±{WITHIN} of the second's. Agree: "
    f"the latter is below {LEVEL:g}. Differ: it is not, and the former is. Undecided: neither, so that the seeds show "
    "neither that the means are near nor that they are apart. Where a run diverged engines never agree: they differ if "
    "Mann and Whitney's test of ranks, in which that run stands last, has a p below the same, and are undecided if not."
)
SEEDS = (
    "Distances of the single seeds, in order. A seed means the same first weights, batches and noise with both "
    "engines, but rounding sends its runs different ways, so that they are not compared in pairs."
)


def about(found: Comparison, a: Path, b: Path) -> list[str]:
    """The lines above the table, "Name: text": what was compared, the outcome, where the runs are from."""
    both = pd.concat(found.runs)
    data = " / ".join(data_title(name) for name in distinct(both, "dataset"))
    lines = [
        f"Engines: {found.engines[0]} ({a.name}) against {found.engines[1]} ({b.name}), data set {data}, seeds "
        f"{', '.join(map(str, sorted(set(both['seed']))))}; all other settings are the same.",
        f"Outcome: {closing(found)}.",
        f"Rule: two engines agree where the seeds show that their mean distances differ by less than {WITHIN} of "
        f"that with {found.engines[1]} (two one-sided tests, Welch's, at {LEVEL:g}); that none shows is not enough.",
    ]
    if found.left_out:
        lines.append(f"Left out: {', '.join(found.left_out)}; both tables have the same runs of them.")
    commits = " / ".join(dict.fromkeys(sha[:12] for sha in distinct(both, "provenance_git_sha")))
    return [*lines, f"Commit: {commits or 'not recorded'}."]


def closing(found: Comparison) -> str:
    """ "1 of 3 methods are shown to agree; undecided: IGEBM, CLEL"."""
    titles = {word: list(found.table[found.table["outcome"] == word]["title"]) for word in (AGREE, DIFFER, UNDECIDED)}
    rest = (f"; {word}: {', '.join(titles[word])}" for word in (DIFFER, UNDECIDED) if titles[word])
    return f"{len(titles[AGREE])} of {len(found.table)} methods are shown to agree{''.join(rest)}"


def engines_grid(found: Comparison) -> Grid:
    """The table: a row a method, distances and training time with both engines side by side."""
    notes = Footnotes()
    distances = f"{distance_name(found)} ↓"
    rule, seeds, seconds = notes.mark(RULE), notes.mark(SEEDS), notes.mark(_machines(found))
    headers = [Header(("",)), *(Header((engine,), group=distances) for engine in found.engines)]
    headers += [Header(("difference", "[95 % interval]"), (rule,))]
    headers += [Header(("p,", word), (rule,)) for word in ("different", "near")] + [Header(("outcome",), (rule,))]
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
        line += [
            Text(f"{mean_and_std(numbers, f'distance_{side}') or DASH} ({_count(numbers, side)})") for side in "ab"
        ]
        line += [Text(with_interval(numbers["difference"], numbers["low"], numbers["high"]) or DASH)]
        line += [Text(number(numbers[name], 2) or DASH) for name in ("p", "p_equivalent")]
        line += [Text(str(numbers["outcome"]))]
        line += [Text(_seeds(of_row(runs, str(row)))) for runs in found.runs]
        line += [Text(number(numbers[f"seconds_{side}"]) or DASH) for side in "ab"]
        lines.append(line)
    return Grid(headers, lines, notes.texts)


def summary(found: Comparison) -> Grid:
    """The table for reading, in seven columns; engines.md is the full one."""
    notes = Footnotes()
    distances = f"{distance_name(found)} ↓"
    spreads = notes.mark("Mean ± sample standard deviation over the n seeds that ended well.")
    rule = notes.mark(
        f"Agree: the seeds show that the means differ by less than {WITHIN} of the second's. Differ: they show that "
        "the means are apart. Undecided: neither."
    )
    seconds = notes.mark("Training steps alone, mean over the seeds. Other runs may have been at work beside them.")
    headers = [Header(("",)), *(Header((engine,), (spreads,), distances) for engine in found.engines)]
    headers += [Header(("difference", "[95 % interval]")), Header(("outcome",), (rule,))]
    headers += [Header((engine,), (seconds,), "training, s") for engine in found.engines]
    lines = []
    for _, numbers in found.table.iterrows():
        line = [Text(str(numbers["title"]))]
        line += [
            Text(f"{mean_and_std(numbers, f'distance_{side}') or DASH} ({_count(numbers, side)})") for side in "ab"
        ]
        line += [Text(with_interval(numbers["difference"], numbers["low"], numbers["high"]) or DASH)]
        line += [Text(str(numbers["outcome"]))]
        line += [Text(number(numbers[f"seconds_{side}"]) or DASH) for side in "ab"]
        lines.append(line)
    return Grid(headers, lines, notes.texts)


def distance_name(found: Comparison) -> str:
    """What the distance is called, with its feature space where that is not Inception's."""
    spaces = distinct(pd.concat(found.runs), "protocol_features")
    apart = "" if is_fid(spaces) else f" ({' / '.join(spaces) or 'unnamed'} features)"
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
