"""Measurements as one table: a line for each run, set and score."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from experiments.measured.artefact import Found
from experiments.ood.sets import SETS, is_near

FIGURES = {
    "auroc": "auroc",
    "auroc_low": "low",
    "auroc_high": "high",
    "aupr_in": "aupr_in",
    "aupr_out": "aupr_out",
    "fpr_at_95_tpr": "fpr95",
}
"""Columns of figures, and what `Detection` calls them."""


def as_frame(found: Sequence[Found]) -> pd.DataFrame:
    """A row for each run, set and score in the order of tables; one without figures for a run without a measurement."""
    rows = []
    for one in found:
        cell, p = one.cell, one.protocol
        run = {"row": cell.row, "title": cell.title, "dataset": cell.dataset, "seed": cell.seed, "run": cell.run_name}
        run |= {"status": one.run.status, "preparation": p.preparation}
        if one.values is None:
            rows.append(run)
            continue
        for name, scores in one.values["sets"].items():
            for score, figures in scores.items():
                line = {"set": name, "block": "near" if is_near(name, cell.dataset) else "far", "score": score}
                line |= {"beta": p.beta if score.startswith("joint") else None}
                line |= {"n_in": figures["n_in"], "n_out": figures["n_out"], "positive": "in distribution"}
                rows.append(run | line | {column: figures[key] for column, key in FIGURES.items()})
    columns = [*("row", "title", "dataset", "seed", "run", "status", "preparation", "set", "block", "score", "beta")]
    columns += ["n_in", "n_out", "positive", *FIGURES]
    frame = pd.DataFrame(rows, columns=columns)
    return frame.astype({"n_in": "Int64", "n_out": "Int64"})


def measured_sets(frame: pd.DataFrame) -> list[str]:
    """The sets that were measured, the near ones first."""
    blocks = dict(zip(frame["set"], frame["block"], strict=True))
    return sorted((name for name in SETS if name in blocks), key=lambda name: blocks[name] != "near")


def lines_of_row(frame: pd.DataFrame, row: str, name: str, score: str) -> pd.DataFrame:
    """The lines of one row, set and score, one a seed."""
    return frame[(frame["row"] == row) & (frame["set"] == name) & (frame["score"] == score)]


def block_means(frame: pd.DataFrame, row: str, block: str, score: str) -> pd.Series:
    """The AUROC of one row and score, mean over the sets of a block, one a seed."""
    part = frame[(frame["row"] == row) & (frame["block"] == block) & (frame["score"] == score)]
    return part.groupby("seed")["auroc"].mean()
