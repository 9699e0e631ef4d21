"""The paper's claims beside what a folder of results has: a sentence, what was measured, and a word from its seeds.

A word is made by a rule that is stated beside it: supported, contradicted or undecided; not measured without results.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from baselines import METHODS, PLAIN, SUBJECT
from clel.config import ConfigError
from clel.storage.atomic import naming_damage
from experiments.printing.numbers import number, with_interval
from experiments.reading.csv_rows import csv_rows
from experiments.table1.comparisons.compare import HIGHER, LOWER
from experiments.table1.differences import LEVEL, ranks, welch

CLAIMS = Path(__file__).with_name("claims.csv")
SUPPORTED, CONTRADICTED, UNDECIDED, UNMEASURED = "supported", "contradicted", "undecided", "not measured"
COSTLY = ("vaebm", "recovery_likelihood:n8", "recovery_likelihood")
"""Rows that the paper compares its costs with, where a table has them."""


@dataclass(frozen=True)
class Verdict:
    """One claim of the paper. how: the test that the word comes from, with n."""

    says: str
    source: str
    measured: str = ""
    word: str = UNMEASURED
    how: str = ""


def verdicts(folder: Path) -> list[Verdict]:
    """Every claim, by the tables of a results folder."""
    found = []
    for where, row in csv_rows(CLAIMS, ("claim", "says", "source")):
        judge = JUDGES.get(row["claim"])
        assert judge is not None, f"{where}: no rule for the claim {row['claim']!r}"
        try:
            outcome = judge(folder)
        except (ConfigError, KeyError) as error:  # a damaged table costs its claim, not the page
            outcome = f"cannot be told: {error}", UNMEASURED, ""
        found.append(Verdict(row["says"], row["source"], *(outcome or ())))
    return found


Outcome = tuple[str, str, str]
"""What was measured, the word, and how it came about."""


def _peers(folder: Path) -> Outcome | None:
    rows = _read(folder, "comparisons.csv")
    if rows is None:
        return None
    own = rows[rows["row"].isin([key for key in METHODS if key not in (SUBJECT, PLAIN)])]
    return _by_outcome(own)


def _guidance(folder: Path) -> Outcome | None:
    rows = _read(folder, "comparisons.csv")
    return None if rows is None else _by_outcome(rows[rows["row"] == PLAIN])


def _by_outcome(rows: pd.DataFrame) -> Outcome | None:
    """Of comparisons with CLEL: it is better than a row whose distances are higher."""
    if rows.empty:
        return None
    parts = [
        f"{row['title']}: {with_interval(row['difference'], row['low'], row['high']) or 'no difference'} "
        f"({row['outcome']})"
        for _, row in rows.iterrows()
    ]
    outcomes = set(rows["outcome"])
    word = SUPPORTED if outcomes == {HIGHER} else CONTRADICTED if LOWER in outcomes else UNDECIDED
    n = " / ".join(str(n) for n in sorted(set(rows["n"])))
    how = (
        f"distance less CLEL's, Welch's 95 % interval; Mann-Whitney with Holm's correction at {LEVEL:g}; n = {n} seeds"
    )
    return "; ".join(parts), word, how


def _time(folder: Path) -> Outcome | None:
    return _cost(folder, "hours", "hours of the paper's schedule on this machine")


def _memory(folder: Path) -> Outcome | None:
    return _cost(folder, "peak_memory_bytes", "MB at the peak of training", 1e-6)


def _cost(folder: Path, column: str, unit: str, scale: float = 1.0) -> Outcome | None:
    """CLEL's cost against each costly method's; quartiles where the rounds have some, else the one measurement."""
    rows = _read(folder, "speed_memory.csv")
    if rows is None or SUBJECT not in set(rows["row"]):
        return None
    rows = rows[rows["status"] == "ok"].set_index("row")
    others = [key for key in COSTLY if key in rows.index]
    if SUBJECT not in rows.index or not others:
        return None

    def span(key: str) -> tuple[float, float]:
        line = rows.loc[key]
        low, high = (line.get(f"{column}_{q}", float("nan")) for q in ("q1", "q3"))
        return (line[column], line[column]) if pd.isna(low) else (low, high)

    own = span(SUBJECT)
    below = [own[1] < span(key)[0] for key in others]
    above = [own[0] > span(key)[1] for key in others]
    word = SUPPORTED if all(below) else CONTRADICTED if any(above) else UNDECIDED
    parts = [f"{rows.loc[key, 'title']}: {number(rows.loc[key, column], 2, scale)}" for key in (SUBJECT, *others)]
    how = f"{unit}; quartiles of {int(rows.loc[SUBJECT, 'rounds'])} rounds do not overlap, one process a method"
    return "; ".join(parts), word, how if column == "hours" else f"{unit}, one process a method"


def _ood(folder: Path) -> Outcome | None:
    rows = _read(folder, "ood.csv")
    if rows is None:
        return None
    scores = rows[rows["status"] == "ok"].dropna(subset=["auroc"])
    own = scores[(scores["row"] == SUBJECT) & (scores["score"] == "joint")].groupby("seed")["auroc"].mean()
    others = scores[(scores["row"] != SUBJECT) & (scores["score"] == "energy")]
    if own.empty or others.empty:
        return None
    means = {title: part.groupby("seed")["auroc"].mean() for title, part in others.groupby("title")}
    best = max(means, key=lambda title: means[title].mean())
    what = f"CLEL, joint: {number(own.mean(), 3)}; best other, {best}: {number(means[best].mean(), 3)}"
    return what, *_higher(own, means[best], "AUROC, mean over the sets")


def _conditional(folder: Path) -> Outcome | None:
    rows = _read(folder, "conditional.csv")
    if rows is None or "accuracy" not in rows:
        return None
    own = rows[(rows["row"] == SUBJECT) & (rows["status"] == "ok")].groupby("seed")["accuracy"].mean()
    if own.empty:
        return None
    return _above_chance(own, 1 / rows["class"].nunique(), "share of samples judged to be of the class asked for")


def _compositional(folder: Path) -> Outcome | None:
    rows = _read(folder, "compositional.csv")
    if rows is None or not {"all", "chance", "attributes", "seed"} <= set(rows.columns):
        return None
    three = rows[rows["attributes"] == 3]
    own, chance = three.groupby("seed")["all"].mean(), float(three["chance"].mean())
    return None if own.empty else _above_chance(own, chance, "share of samples with all three attributes")


def _negatives(folder: Path) -> Outcome | None:
    rows = _read(folder, "ablations.csv")
    if rows is None:
        return None
    own = rows[rows["row"].str.contains("generated_negatives", regex=False)]
    if own.empty or own["distance_outcome"].isna().all():
        return None
    line = own.iloc[0]
    word = {HIGHER: SUPPORTED, LOWER: CONTRADICTED}.get(line["distance_outcome"], UNDECIDED)
    what = f"without: {number(line['distance_mean'], 2)}, {line['distance_outcome']} than with"
    return what, word, f"distance; Mann-Whitney with Holm's correction at {LEVEL:g}; n = {int(line['n'])} seeds"


def _higher(own: pd.Series, other: pd.Series, what: str) -> tuple[str, str]:
    """The word on own values being higher than another's, and how."""
    test, apart = ranks(list(own), list(other)), welch(own, other)
    shown = with_interval(apart["difference"], apart["low"], apart["high"])
    how = f"{what}, difference {shown}, Mann-Whitney at {LEVEL:g}; n = {len(own)} and {len(other)} seeds"
    if test is None or test[1] >= LEVEL:
        return UNDECIDED, how
    return (SUPPORTED if own.mean() > other.mean() else CONTRADICTED), how


def _above_chance(values: pd.Series, chance: float, what: str) -> Outcome:
    """The word on a share being above chance over the seeds: by the 95 % interval of its mean."""
    from scipy import stats

    mean, n = float(values.mean()), len(values)
    half = float(stats.t.ppf(1 - LEVEL / 2, n - 1) * values.std(ddof=1) / n**0.5) if n > 1 else float("nan")
    measured = f"{number(mean, 3)} of {number(chance, 3)} by chance"
    how = f"{what}; Student's 95 % interval of the mean, n = {n} seeds"
    if n < 2:
        return measured, UNDECIDED, how
    word = SUPPORTED if mean - half > chance else CONTRADICTED if mean + half < chance else UNDECIDED
    return (
        f"{number(mean, 3)} [{number(mean - half, 3)}, {number(mean + half, 3)}], by chance {number(chance, 3)}",
        word,
        how,
    )


def _read(folder: Path, name: str) -> pd.DataFrame | None:
    """A table of the folder; None where it has none."""
    path = folder / name
    if not path.is_file():
        return None
    with naming_damage(path, "the command that made it writes it anew"):
        return pd.read_csv(path)


JUDGES: dict[str, Callable[[Path], Outcome | None]] = {
    "peers": _peers,
    "guidance": _guidance,
    "time": _time,
    "memory": _memory,
    "ood": _ood,
    "conditional": _conditional,
    "compositional": _compositional,
    "negatives": _negatives,
}


def counted(found: Sequence[Verdict]) -> str:
    """ "2 supported, 1 undecided, 5 not measured"."""
    counts = {word: sum(v.word == word for v in found) for word in (SUPPORTED, CONTRADICTED, UNDECIDED, UNMEASURED)}
    return ", ".join(f"{n} {word}" for word, n in counts.items() if n)
