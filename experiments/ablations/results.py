"""Ablations as numbers: a line for each row of each study, with its comparisons to the default row."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from baselines import SUBJECT
from clel.storage.atomic import naming_damage
from experiments.ablations.rows import Study
from experiments.measured.artefact import Found, found_by_row
from experiments.reading import published
from experiments.reading.published import Figures
from experiments.table1.comparisons.compare import HIGHER, LOWER, UNDECIDED, compare_rows
from experiments.table1.differences import LEVEL, holm, ranks, welch
from experiments.table1.table import table1

SPEED = ("iteration_ms", "peak_memory_bytes")
"""Columns of speed_memory.csv that the ladder shows."""
COSTS = ("parameters", "seconds", "iterations", "peak_memory_bytes")
"""Of the runs' own records."""
COMPARED = ("difference", "low", "high", "probability", "p_ranks", "p_least", "p_holm", "outcome")


def results(
    studies: Sequence[Study], found: Sequence[Found], speed: Path | None = None, figures: Figures | None = None
) -> pd.DataFrame:
    """A line for each row of each study: its distance and AUROC over the seeds, each beside the default row's; costs.

    speed: the CSV of `make speed-memory`; its numbers stand in columns that begin with speed_, empty without it.

    Columns: study, row, title, run; runs, n (that ended well), failures; distance_mean, _std and the columns of
    COMPARED with "distance_" in front; the same of auroc; costs; reported_<metric> as the paper has them on CIFAR-10.
    The differences are this row's mean less the default's, with Welch's 95 % interval; p_holm is Mann and Whitney's,
    corrected over all rows of the table.
    """
    cells, runs = [one.cell for one in found], {one.cell.run_name: one.run for one in found}
    values, compared = table1(cells, runs, figures).values, compare_rows(cells, runs)
    rows = found_by_row(found)
    aurocs = {row: aurocs_of(members) for row, members in rows.items()}
    detected = beside_default(aurocs)
    measured = _speed(speed)
    lines = []
    for study in studies:
        for row in study.rows:
            key, own = row.key, values.loc[row.key]
            line: dict[str, Any] = {"study": study.name, "row": key, "title": row.title}
            line |= {"what": rows[key][0].cell.title, **{name: own[name] for name in ("runs", "n", "failures")}}
            line |= {"distance_mean": own["fid_fresh_mean"], "distance_std": own["fid_fresh_std"]}
            line |= _compared("distance", None if compared is None or key == SUBJECT else compared.table.loc[key])
            seen = pd.Series(list(aurocs[key].values()), dtype=float)
            line |= {"auroc_mean": seen.mean(), "auroc_std": seen.std(ddof=1) if len(seen) > 1 else None}
            line |= _compared("auroc", detected.get(key))
            line |= {name: own[name] for name in COSTS}
            line |= {f"speed_{name}": measured.get(key, {}).get(name) for name in SPEED}
            for metric in ("fid", "auroc_svhn", "hours", "memory"):
                figure = published.reported(row.published, metric, figures=figures)
                line |= {f"reported_{metric}": figure.value if figure else None}
                line |= {f"reported_{metric}_source": figure.source if figure else None}
            lines.append(line)
    return pd.DataFrame(lines)


def by_run(found: Sequence[Found]) -> pd.DataFrame:
    """A line a run: row, seed, status, distance and AUROC."""
    lines = []
    for one in found:
        line = {"run": one.cell.run_name, "row": one.cell.row, "title": one.cell.title, "seed": one.cell.seed}
        line |= {"status": one.run.status, "reason": one.run.reason}
        line |= {"fid_fresh": one.run.part("metrics").get("fid_fresh"), "auroc": (one.values or {}).get("auroc")}
        lines.append(line | {name: getattr(one.protocol, name, None) for name in ("against", "score")})
    return pd.DataFrame(lines)


def aurocs_of(members: Sequence[Found]) -> dict[int, float]:
    """The AUROC of each seed of a row that has one."""
    return {one.cell.seed: float(one.values["auroc"]) for one in members if one.values and "auroc" in one.values}


def beside_default(values: Mapping[str, Mapping[int, float]]) -> dict[str, pd.Series]:
    """Every row's numbers against the default's, as `compare_rows` does it of distances: COMPARED by row.

    Rows need two numbers, and so does the default; the others are left out.
    """
    base = list(values.get(SUBJECT, {}).values())
    found: dict[str, dict[str, Any]] = {}
    for row, own in values.items():
        several = list(own.values())
        test = ranks(base, several) if row != SUBJECT else None
        if test is not None:
            found[row] = welch(pd.Series(several), pd.Series(base)) | {"probability": test[0], "p_ranks": test[1]}
            found[row]["p_least"] = 2 / math.comb(len(base) + len(several), len(base))
    for line, p in zip(found.values(), holm([line["p_ranks"] for line in found.values()]), strict=True):
        line |= {"p_holm": p, "outcome": UNDECIDED}
        if p < LEVEL and line["difference"] != 0 and (line["difference"] > 0) == (line["probability"] > 0.5):
            line["outcome"] = HIGHER if line["difference"] > 0 else LOWER
    return {row: pd.Series(line, dtype=object) for row, line in found.items()}


def _compared(name: str, line: pd.Series | None) -> dict[str, Any]:
    return {f"{name}_{column}": None if line is None else line[column] for column in COMPARED}


def _speed(path: Path | None) -> dict[str, dict[str, float]]:
    if path is None or not path.is_file():
        return {}
    with naming_damage(path, "make speed-memory REPORT=1 writes it anew"):
        table = pd.read_csv(path).set_index("row")
        good = table[table["status"] == "ok"]
        return {str(row): {name: float(line[name]) for name in SPEED} for row, line in good.iterrows()}
