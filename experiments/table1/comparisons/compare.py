"""Each method of a table against the one that the suite is about: differences, and whether the seeds decide them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from baselines import SUBJECT
from experiments.runs.external import ExternalRun
from experiments.runs.references import ReferenceRun
from experiments.sweep.store import Declared, Stored, by_row, is_reference
from experiments.table1.differences import LEVEL, holm, ranks, welch
from experiments.table1.table import failures

LOWER, HIGHER, UNDECIDED = "lower", "higher", "undecided"


@dataclass(frozen=True)
class Compared:
    """Of one table.

    Attributes:
        subject: numbers of the row that the others are compared with, the first of its method: title, distance_mean and
            _std (sample standard deviation), n (runs that ended well), runs.
        table: a row for each other one with trained runs, indexed by its key; see `compare_rows`.
    """

    subject: pd.Series
    table: pd.DataFrame


def compare_rows(cells: Sequence[Declared], runs: Mapping[str, Stored]) -> Compared | None:
    """Every row with training against the subject's; None without that, or without another one to compare.

    Both need two runs that count: those that ended well, by their distance of fresh chains, and those that diverged,
    as a distance above all of these. Runs that failed otherwise or are missing count nowhere.

    Columns of the table, beside those of `Compared.subject`: failures; what `welch` gives of the runs that ended well,
    its difference being this row's mean minus the subject's; counted, counted_subject; probability that a run of the
    subject is lower (equal ones by half), with p_ranks, by `ranks`; p_least, the smallest p that so many runs can have
    without ties; p_holm, p_ranks corrected over the table; and outcome: what the row's distances are beside the
    subject's. That is undecided unless p_holm is below 0.05, and where mean and probability point to different sides.
    """
    rows = {row: members for row, members in by_row(cells).items() if not _given(members, runs)}
    own = next((row for row in rows if row.partition(":")[0] == SUBJECT), None)
    if own is None:
        return None
    held, against = rows.pop(own), {row: _counted(members, runs) for row, members in rows.items()}
    base = _counted(held, runs)
    if len(base) < 2 or not any(len(values) >= 2 for values in against.values()):
        return None
    lines = []
    for row, values in against.items():
        line = _described(rows[row], values) | {"failures": failures(rows[row], runs)}
        line |= welch(_ended(values), _ended(base)) | {"counted": len(values), "counted_subject": len(base)}
        share, p = ranks(base, values) or (None, None)
        lines.append(line | {"probability": share, "p_ranks": p, "p_least": _least(len(base), len(values))})
    table = pd.DataFrame(lines, index=pd.Index(against, name="row"))
    tested = table["p_ranks"].notna()
    table.loc[tested, "p_holm"] = holm(list(table.loc[tested, "p_ranks"]))
    table["outcome"] = [_word(line) for _, line in table.iterrows()]
    return Compared(pd.Series(_described(held, base)), table)


def _given(members: Sequence[Declared], runs: Mapping[str, Stored]) -> bool:
    """Whether a row is of given images, which nothing was trained for, whatever came of its runs."""
    given = (ReferenceRun, ExternalRun)
    return any(isinstance(getattr(c, "run", None), given) or is_reference(runs[c.run_name]) for c in members)


def _counted(members: Sequence[Declared], runs: Mapping[str, Stored]) -> list[float]:
    """The distance of each run that counts, infinite where it diverged."""
    found = []
    for run in (runs[cell.run_name] for cell in members):
        distance = run.part("metrics").get("fid_fresh")
        if run.ok and distance is not None:
            found.append(float(distance))
        elif run.status == "diverged":
            found.append(math.inf)
    return found


def _ended(values: Sequence[float]) -> pd.Series:
    return pd.Series([value for value in values if math.isfinite(value)], dtype=float)


def _described(members: Sequence[Declared], values: Sequence[float]) -> dict[str, object]:
    ended = _ended(values)
    mean, deviation = ended.mean(), ended.std(ddof=1)
    numbers = {"distance_mean": mean, "distance_std": deviation, "n": len(ended), "runs": len(members)}
    return {"title": members[0].title, **numbers}


def _least(n: int, m: int) -> float | None:
    """The p of two samples that do not overlap."""
    return 2 / math.comb(n + m, n) if min(n, m) >= 2 else None


def _word(line: pd.Series) -> str:
    if not line["p_holm"] < LEVEL:  # or there is none
        return UNDECIDED
    # the means may tell nothing (NaN), but must not tell the contrary
    if line["probability"] > 0.5 and not line["difference"] < 0:
        return HIGHER
    if line["probability"] < 0.5 and not line["difference"] > 0:
        return LOWER
    return UNDECIDED
