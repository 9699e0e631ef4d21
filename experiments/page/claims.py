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
from experiments.table1.differences import LEVEL, holm, ranks

CLAIMS = Path(__file__).with_name("claims.csv")
SUPPORTED, CONTRADICTED, UNDECIDED, UNMEASURED = "supported", "contradicted", "undecided", "not measured"
PEERS = ("igebm", "vaebm", "drl")
"""Earlier EBMs: an EBM alone, one with a VAE, one with a diffusion."""
COSTLY = (("vaebm",), ("drl:n8", "drl"))
"""Methods that the paper compares its costs with: of each the first row that a table has."""
WITHOUT_NEGATIVES = f"{SUBJECT}[generated_negatives=false]"
"""The row of the ablation that has all but generated negatives."""


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
        except (
            ConfigError,
            LookupError,
            ValueError,
            TypeError,
            AttributeError,
        ) as error:  # a damaged table costs its claim, not the page
            outcome = f"cannot be told: {error}", UNMEASURED, ""
        found.append(Verdict(row["says"], row["source"], *(outcome or ())))
    return found


Outcome = tuple[str, str, str]
"""What was measured, the word, and how it came about."""


def _peers(folder: Path) -> Outcome | None:
    rows = _read(folder, "comparisons.csv")
    if rows is None:
        return None
    return _by_outcome(rows, PEERS)


def _guidance(folder: Path) -> Outcome | None:
    rows = _read(folder, "comparisons.csv")
    return None if rows is None else _by_outcome(rows, (PLAIN,))


def _by_outcome(rows: pd.DataFrame, needed: Sequence[str]) -> Outcome | None:
    """Of comparisons with CLEL: it is better than a row whose distances are higher. All needed rows must be there."""
    rows = rows[rows["row"].isin(needed) & (rows["counted"] > 0)]
    if rows.empty:
        return None
    parts = [
        f"{row['title']}: {with_interval(row['difference'], row['low'], row['high']) or 'no difference'} "
        f"({row['outcome']})"
        for _, row in rows.iterrows()
    ]
    missing = [METHODS[key].title for key in needed if key not in set(rows["row"])]
    parts += [f"{title}: not there" for title in missing]
    outcomes = set(rows["outcome"])
    word = CONTRADICTED if LOWER in outcomes else SUPPORTED if outcomes == {HIGHER} and not missing else UNDECIDED
    n = " / ".join(str(int(n)) for n in sorted(set(rows["counted"])))
    how = (
        f"distance less CLEL's, Welch's 95 % interval; Mann-Whitney with Holm's correction at {LEVEL:g}; n = {n} seeds"
    )
    return "; ".join(parts), word, how


def _time(folder: Path) -> Outcome | None:
    return _cost(folder, "hours", "hours of the paper's schedule on this machine")


def _memory(folder: Path) -> Outcome | None:
    return _cost(folder, "peak_memory_bytes", "MB at the peak of training", 1e-6)


def _cost(folder: Path, column: str, unit: str, scale: float = 1.0) -> Outcome | None:
    """CLEL's cost against each costly method's: by the quartiles of the rounds where there are some."""
    rows = _read(folder, "speed_memory.csv")
    if rows is None:
        return None
    rows = rows[(rows["status"] == "ok") & rows[column].notna()].drop_duplicates("row").set_index("row")
    others = [next((key for key in keys if key in rows.index), None) for keys in COSTLY]
    there = [key for key in others if key is not None]
    if SUBJECT not in rows.index or not there:
        return None

    def span(key: str) -> tuple[float, float]:
        line = rows.loc[key]
        low, high = (line.get(f"{column}_{q}", float("nan")) for q in ("q1", "q3"))
        return (line[column], line[column]) if pd.isna(low) or pd.isna(high) else (low, high)

    own = span(SUBJECT)
    below = [own[1] < span(key)[0] for key in there]
    above = [own[0] > span(key)[1] for key in there]
    whole = len(there) == len(COSTLY)
    word = CONTRADICTED if any(above) else SUPPORTED if all(below) and whole else UNDECIDED
    parts = [f"{rows.loc[key, 'title']}: {number(rows.loc[key, column], 2, scale)}" for key in (SUBJECT, *there)]
    parts += [f"{METHODS[keys[-1]].title}: not there" for keys, key in zip(COSTLY, others, strict=True) if key is None]
    by = "the quartiles of its rounds" if f"{column}_q1" in rows else "one measurement"
    return "; ".join(parts), word, f"{unit}; by {by}, one process a method"


def _ood(folder: Path) -> Outcome | None:
    """CLEL's joint energy against every other row's energy, on the sets that all of them have."""
    rows = _read(folder, "ood.csv")
    if rows is None:
        return None
    rows = rows[rows["status"] == "ok"].dropna(subset=["auroc"])
    own = rows[(rows["row"] == SUBJECT) & (rows["score"] == "joint")]
    others = rows[(rows["row"] != SUBJECT) & (rows["score"] == "energy")]
    if own.empty or others.empty:
        return None
    sets = set(own["set"]).intersection(*(set(part["set"]) for _, part in others.groupby("row")))
    mine = _over_sets(own, sets)
    theirs = {str(title): _over_sets(part, sets) for title, part in others.groupby("title")}
    if not sets or mine.empty:
        return None
    tests = {title: ranks(list(mine), list(values)) for title, values in theirs.items()}
    corrected = dict(zip(tests, holm([1.0 if test is None else test[1] for test in tests.values()]), strict=True))
    words = []
    for title, test in tests.items():
        higher = mine.mean() - theirs[title].mean()
        decided = test is not None and corrected[title] < LEVEL
        agrees = decided and (test[0] < 0.5) == (higher > 0)  # type: ignore[index]
        words.append((SUPPORTED if higher > 0 else CONTRADICTED) if agrees else UNDECIDED)
    word = CONTRADICTED if CONTRADICTED in words else SUPPORTED if set(words) == {SUPPORTED} else UNDECIDED
    shown = [f"CLEL, joint: {number(mine.mean(), 3)}"]
    shown += [
        f"{title}: {number(values.mean(), 3)} ({w})" for (title, values), w in zip(theirs.items(), words, strict=True)
    ]
    n = " / ".join(str(n) for n in sorted({len(mine), *map(len, theirs.values())}))
    how = f"AUROC, mean over {len(sets)} sets; Mann-Whitney with Holm's correction at {LEVEL:g}; n = {n} seeds"
    return "; ".join(shown), word, how


def _over_sets(rows: pd.DataFrame, sets: set[str]) -> pd.Series:
    """The mean AUROC over these sets of each seed that has all of them."""
    part = rows[rows["set"].isin(sets)].groupby("seed")["auroc"]
    return part.mean()[part.count() == len(sets)]


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
    own = rows[rows["row"] == WITHOUT_NEGATIVES].dropna(subset=["distance_outcome", "n"])
    if own.empty:
        return None
    line = own.iloc[0]
    word = {HIGHER: SUPPORTED, LOWER: CONTRADICTED}.get(line["distance_outcome"], UNDECIDED)
    what = f"without: {number(line['distance_mean'], 2)}, {line['distance_outcome']} than with"
    return what, word, f"distance; Mann-Whitney with Holm's correction at {LEVEL:g}; n = {int(line['n'])} seeds"


def _above_chance(values: pd.Series, chance: float, what: str) -> Outcome | None:
    """The word on a share being above chance over the seeds: by the 95 % interval of its mean."""
    from scipy import stats

    values = values.dropna()
    mean, n = float(values.mean()), len(values)
    if n == 0 or pd.isna(chance):
        return None
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


def counts_in_words(found: Sequence[Verdict]) -> str:
    """ "2 supported, 1 undecided, 5 not measured"."""
    counts = {word: sum(v.word == word for v in found) for word in (SUPPORTED, CONTRADICTED, UNDECIDED, UNMEASURED)}
    return ", ".join(f"{n} {word}" for word, n in counts.items() if n)
