"""What methods reach with two engines: distances and training time over the seeds, and whether they agree."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pandas as pd

from baselines import METHODS
from clel.config import require
from experiments.engines.runs import distinct, of_row, refuse_unlike_runs
from experiments.table1.differences import LEVEL, equivalence, ranks, welch

MARGIN = 0.25
"""Two means agree where their difference is shown to be below this share of the second one's."""
AGREE, DIFFER, UNDECIDED = "agree", "differ", "undecided"


@dataclass(frozen=True)
class Comparison:
    """Of two tables a and b.

    Attributes:
        table: a row for each method whose runs differ, indexed by "method:preset"; see `compare_engines`.
        runs: those runs, of a and of b.
        engines: of a and of b, as their protocols state them.
        left_out: titles of the rows of which both tables have the same runs, since they have no such engine.
    """

    table: pd.DataFrame
    runs: tuple[pd.DataFrame, pd.DataFrame]
    engines: tuple[str, str]
    left_out: tuple[str, ...]


def compare_engines(a: pd.DataFrame, b: pd.DataFrame) -> Comparison:
    """The comparison of runs as `read_runs` gives them, of the rows that both tables have.

    Columns of its table, for each side s in (a, b): engine_s, runs_s, n_s (that ended well), failures_s,
    distance_s_mean and _std (sample standard deviation), seconds_s (mean of training), distance_s_seed<k>; and
    what `outcome` gives.

    Raises:
        ConfigError: the tables differ in more than the engine, or not in that.
    """
    common = [row for row in distinct(a, "row") if row in distinct(b, "row")]
    require(bool(common), "the two tables have no row in common")
    a, b = (side[side["row"].isin(common)] for side in (a, b))
    refuse_unlike_runs(a, b)
    other = [row for row in common if list(of_row(a, row)["hash"]) != list(of_row(b, row)["hash"])]
    require(bool(other), "both tables have the same runs; make table1 ENGINE=... makes one with another engine")
    titles = dict(zip(common, _titles(common), strict=True))
    a, b = (side[side["row"].isin(other)] for side in (a, b))
    engines = _engine(a), _engine(b)
    lines = [{"title": titles[row], **_values(of_row(a, row), of_row(b, row), engines)} for row in other]
    table = pd.DataFrame(lines, index=pd.Index(other, name="row"))
    return Comparison(table, (a, b), engines, tuple(titles[row] for row in common if row not in other))


def outcome(a: pd.Series, b: pd.Series) -> dict[str, object]:
    """What `welch` gives of two samples, infinite values left out; margin, a quarter of m_b; p_equivalent; and outcome.

    The outcome is agree where `equivalence` is shown, at 0.05; otherwise differ where Welch's test calls the means
    different; and undecided where neither is the case. Infinity is a run that diverged: with one, engines differ where
    `ranks` says so and are undecided otherwise.
    """
    ended_a, ended_b = (side[side < math.inf] for side in (a, b))
    found = welch(ended_a, ended_b)
    near, apart = equivalence(ended_a, ended_b, MARGIN), found["p"]
    diverged = len(ended_a) + len(ended_b) < len(a) + len(b)
    if diverged:
        ordered = ranks(list(a), list(b))
        word = DIFFER if ordered is not None and ordered[1] < LEVEL else UNDECIDED
    elif near is not None and near < LEVEL:
        word = AGREE
    else:
        word = DIFFER if apart is not None and apart < LEVEL else UNDECIDED
    margin = MARGIN * float(ended_b.mean())
    return {**found, "margin": margin, "p_equivalent": near, "outcome": word}


def _values(a: pd.DataFrame, b: pd.DataFrame, engines: tuple[str, str]) -> dict[str, object]:
    """One row of the table but its title, from its runs by seed."""
    row: dict[str, object] = {}
    samples = []
    for name, side, engine in zip("ab", (a, b), engines, strict=True):
        ended = (side["status"] == "ok") & side["fid_fresh"].notna()
        distances = side[ended]["fid_fresh"].astype(float)
        failures = "; ".join(f"seed {seed}: {status}" for seed, status in side[~ended]["status"].items())
        row |= {f"engine_{name}": engine, f"runs_{name}": len(side), f"n_{name}": len(distances)}
        row |= {f"failures_{name}": failures, f"seconds_{name}": side[ended]["seconds"].astype(float).mean()}
        row |= {f"distance_{name}_mean": distances.mean(), f"distance_{name}_std": distances.std(ddof=1)}
        row |= {f"distance_{name}_seed{seed}": distances.get(seed) for seed in side.index}
        diverged = int((side["status"] == "diverged").sum())
        samples.append(pd.concat([distances, pd.Series([math.inf] * diverged, dtype=float)]))
    return row | outcome(*samples)


def _engine(runs: pd.DataFrame) -> str:
    """The one engine of a side's runs, as their protocols state it."""
    found = distinct(runs, "protocol_engine")
    require(bool(found), "no run of one of the tables ended well, so that its engine is not known")
    require(len(found) == 1, f"runs of one table had several engines: {', '.join(found)}; no comparison")
    return found[0]


def _titles(rows: list[str]) -> list[str]:
    """The methods' titles, with the preset where a method has several."""
    methods = [row.partition(":")[0] for row in rows]
    titles = [METHODS[name].title if name in METHODS else name for name in methods]
    presets = [row.partition(":")[2] for row in rows]
    return [
        f"{title} ({preset})" if methods.count(name) > 1 else title
        for name, title, preset in zip(methods, titles, presets, strict=True)
    ]
