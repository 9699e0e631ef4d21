"""The trained runs of a table, from its runs.csv, and the refusal of two tables that differ in more than the engine."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from clel.config import ConfigError, require
from clel.storage.atomic import naming_damage

FREE = ("engine", "checkpoint", "batch")
"""Keys of the protocol in which two engines' runs may differ: the engine, the weights, and images at a time."""


def read_runs(folder: Path) -> pd.DataFrame:
    """The trained runs of folder/runs.csv in the order of the table, with a column row, "method:preset[variant]".

    Raises:
        ConfigError: no such file, or one that does not say what the runs' settings are; what to do about it.
    """
    path = folder / "runs.csv"
    if not path.exists():
        raise ConfigError(f"{path}: not there; make table1 writes it, with ENGINE=... for a table with another engine")
    remedy = "make report, with the variables that make table1 had, writes it anew"
    with naming_damage(path, remedy):
        runs = pd.read_csv(path, dtype={"settings": str, "hash": str, "variant": str})
    for name in ("settings", "seed", "name", "method", "preset", "status"):
        require(name in runs, f"{path}: has no column {name}, which says in what its runs differ; {remedy}")
    unknown = list(runs[runs["seed"].isna()]["name"])
    require(not unknown, f"{path}: {', '.join(unknown)}: no record; make table1 goes on with them")
    trained = runs[runs["settings"].notna()]
    require(not trained.empty, f"{path}: no run that was trained")
    changed = trained["variant"].fillna("") if "variant" in trained else pd.Series("", trained.index)
    rows = trained["method"] + ":" + trained["preset"] + changed.map(lambda text: f"[{text}]" if text else "")
    return trained.assign(row=rows, seed=trained["seed"].astype(int))


def of_row(runs: pd.DataFrame, row: str) -> pd.DataFrame:
    """The runs of one row by seed, in this order."""
    return runs[runs["row"] == row].set_index("seed").sort_index()


def distinct(runs: pd.DataFrame, name: str) -> list[str]:
    """The different texts of a column in their order; none where there is no such column."""
    return list(dict.fromkeys(runs[name].dropna().astype(str))) if name in runs else []


def refuse_unlike_runs(a: pd.DataFrame, b: pd.DataFrame) -> None:
    """Raise ConfigError, with what differs, unless both have the same seeds, settings and ways of measuring.

    a, b: runs of `read_runs`, of the same rows.
    """
    for name, what in (
        ("dataset", "data sets"),
        ("protocol_features", "feature spaces"),
        ("protocol_features_identity", "feature spaces (their identity)"),
    ):
        texts = [" / ".join(sorted(distinct(side, name))) for side in (a, b)]
        require(texts[0] == texts[1], f"the {what} differ: {texts[0]} against {texts[1]}; no comparison")
    for row in distinct(a, "row"):
        one, two = of_row(a, row), of_row(b, row)
        seeds = [", ".join(map(str, side.index)) for side in (one, two)]
        require(seeds[0] == seeds[1], f"{row}: seeds {seeds[0]} against {seeds[1]}; give both tables the same SEEDS")
        found = sorted({*one["settings"], *two["settings"]})
        require(
            len(found) == 1,
            f"{row}: settings other than seed and engine differ (column settings: {', '.join(found)}); train both "
            "tables with the same version of the code and the same variables",
        )
        _refuse_other_measures(row, one, two)


def _refuse_other_measures(row: str, a: pd.DataFrame, b: pd.DataFrame) -> None:
    good = a.index[(a["status"] == "ok") & (b["status"] == "ok")]
    for name in dict.fromkeys([*a.columns, *b.columns]):
        key = name.removeprefix("protocol_")
        if key == name or key in FREE:
            continue
        for seed in good:
            one, two = (side[name][seed] if name in side else None for side in (a, b))
            same = one == two or (pd.isna(one) and pd.isna(two))
            require(same, f"{row}, seed {seed}: measured in two ways, {key} {one} against {two}; no comparison")
