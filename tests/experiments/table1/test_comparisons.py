"""Methods compared with the suite's own: numbers by their formulas, words, runs that failed, and when there is none."""

from __future__ import annotations

from itertools import product
from math import comb
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from baselines import SUBJECT
from experiments.printing.markup import standalone
from experiments.sweep.store import load_cells, load_records
from experiments.table1.command import distances_in_words
from experiments.table1.comparisons.compare import compare_rows
from experiments.table1.comparisons.figures import comparisons_figure
from experiments.table1.comparisons.files import FILES, comparison_files
from experiments.table1.comparisons.table import closing
from experiments.table1.report import write_report

OWN = (1.0, 1.1, 1.2, 1.3, 1.4, 1.5)
BETTER, WORSE = tuple(v - 0.6 for v in OWN), tuple(v + 1.0 for v in OWN)
# lower in most runs, but one broke away
AWAY = (0.5, 0.6, 0.7, 0.8, 0.9, 60.0)


def row(fake: Any, name: str, distances: tuple[float | None, ...], status: str = "diverged") -> list:
    cells = fake.cells(name, name.upper(), len(distances))
    for cell, distance in zip(cells, distances, strict=True):
        failed = {"status": status, "reason": "E", "metrics": {}}
        fake.write(cell, distance or 0.0, **({} if distance is not None else failed))
    return cells


def compared(fake: Any, cells: list) -> Any:
    return compare_rows(cells, load_records(fake.runs_dir, [cell.run_name for cell in cells]))


def test_numbers_and_words(fake: Any) -> None:
    cells = row(fake, SUBJECT, OWN) + row(fake, "b", BETTER) + row(fake, "w", WORSE) + row(fake, "away", AWAY)
    found = compared(fake, cells + row(fake, "same", OWN))
    assert found.subject["title"] == SUBJECT.upper() and found.subject["distance_mean"] == pytest.approx(np.mean(OWN))
    table = found.table
    assert list(table.index) == ["b", "w", "away", "same"]
    assert dict(table["outcome"]) == {"b": "lower", "w": "higher", "away": "undecided", "same": "undecided"}
    for name, values in (("b", BETTER), ("w", WORSE), ("away", AWAY)):
        line, welch = table.loc[name], stats.ttest_ind(values, OWN, equal_var=False)
        assert line["difference"] == pytest.approx(np.mean(values) - np.mean(OWN))
        assert (line["low"], line["high"]) == pytest.approx(tuple(welch.confidence_interval(0.95)))
        assert line["probability"] == np.mean(
            [1.0 if a < b else 0.5 if a == b else 0.0 for a, b in product(OWN, values)]
        )
    # the two that do not overlap have the smallest p there is, and Holm multiplies by the number of rows
    least = 2 / comb(12, 6)
    assert table.loc["b", "p_ranks"] == pytest.approx(least) and table.loc["w", "p_least"] == pytest.approx(least)
    assert table.loc["b", "p_holm"] == pytest.approx(4 * least) == table.loc["w", "p_holm"]
    assert table.loc["same", "p_holm"] == 1.0


def test_means_that_point_the_other_way_leave_it_undecided(fake: Any) -> None:
    """Ranks alone would call it lower: five of six runs are, and one broke away."""
    found = compared(fake, row(fake, SUBJECT, tuple(v + 1 for v in OWN)) + row(fake, "away", (*BETTER, 900.0)))
    line = found.table.loc["away"]
    assert line["p_holm"] < 0.05 and line["probability"] < 0.5 and line["difference"] > 0
    assert line["outcome"] == "undecided"


def test_diverged_runs_count_as_higher_and_missing_ones_do_not(fake: Any) -> None:
    own = row(fake, SUBJECT, OWN)
    diverged, lost = row(fake, "d", (None, None, None, None, 0.1, 0.2)), row(fake, "m", (None, 0.1, 0.2), "oom")
    found = compared(fake, own + diverged + lost + row(fake, "all", (None,) * 6)).table
    assert found.loc["d", "probability"] == pytest.approx(4 / 6) and found.loc["d", "counted"] == 6
    assert (found.loc["d", "n"], found.loc["d", "runs"]) == (2, 6)
    assert found.loc["d", "distance_mean"] == pytest.approx(0.15)
    assert found.loc["m", "probability"] == 0 and found.loc["m", "counted"] == 2
    assert "seed 0: oom (E)" in found.loc["m", "failures"]
    # all of them diverged, so that there is no mean, and the ranks decide
    assert found.loc["all", "probability"] == 1 and pd.isna(found.loc["all", "difference"])
    assert found.loc["all", "outcome"] == "higher" and pd.isna(found.loc["all", "low"])


def test_the_subject_is_the_first_row_of_its_method_and_given_images_are_not_compared(fake: Any) -> None:
    noise = fake.cells("noise", "Noise", 2)
    for cell in noise:
        fake.write(cell, 9.0, trained=False)
    cells = noise + row(fake, f"{SUBJECT}:large", OWN) + row(fake, f"{SUBJECT}:other", WORSE)
    found = compared(fake, cells)
    assert found.subject["title"] == f"{SUBJECT}:large".upper() and list(found.table.index) == [f"{SUBJECT}:other"]


def test_nothing_to_compare(fake: Any) -> None:
    own, one, other = row(fake, SUBJECT, OWN), row(fake, "one", (1.0,)), row(fake, "b", BETTER)
    for cells in (own, own + one, one + other, own[:1] + other):
        assert compared(fake, cells) is None
        assert comparison_files(cells, load_records(fake.runs_dir, [c.run_name for c in cells]), []) == {}
    assert closing(None) == []
    # a row of one run stands in the table and counts in no correction
    found = compared(fake, own + one + other).table
    assert found.loc["one", "outcome"] == "undecided" and pd.isna(found.loc["one", "p_holm"])
    assert found.loc["b", "p_holm"] == pytest.approx(2 / comb(12, 6))


def test_the_files_and_that_stale_ones_go(fake: Any, tmp_path: Path) -> None:
    cells, out = row(fake, SUBJECT, OWN) + row(fake, "w", WORSE) + row(fake, "d", (0.5, None)), tmp_path / "out"
    wanted = {out / name for name in FILES if not name.endswith(".pdf")}
    assert wanted <= set(write_report(out, cells, fake.runs_dir, command="make table1 SEEDS=6"))
    text = (out / "comparisons.md").read_text()
    assert f"every trained row of table1.md against {SUBJECT.upper()} (1.25 ± 0.19 (n=6))" in text
    assert "| W | 2.25 ± 0.19 (n=6) | 1.00 \\[" in text
    line = next(line for line in text.splitlines() if line.startswith("| W "))
    assert line.endswith("| 1.00 | 0.004 | higher |") and line.count("|") <= 8
    assert "D: seed 1: diverged (E)." in text and "**Command:** `make table1 SEEDS=6`" in text
    assert "not Inception FID" in text and "Too few seeds" not in text
    assert len(pd.read_csv(out / "comparisons.csv", index_col="row")) == 2
    assert "U+" not in standalone((out / "comparisons.tex").read_text())
    assert (out / "figures/comparisons.png").read_bytes().startswith(b"\x89PNG")
    write_report(out, cells[:7], fake.runs_dir)
    assert not any((out / name).exists() for name in FILES)


def test_too_few_seeds_are_said(fake: Any) -> None:
    """Three seeds a side: p is 2 / 20 at the least."""
    cells = row(fake, SUBJECT, OWN[:3]) + row(fake, "w", WORSE[:3])
    files: Any = comparison_files(cells, load_records(fake.runs_dir, [cell.run_name for cell in cells]), [])
    assert "p cannot be below 0.100 here, 0.100 after the correction" in files["comparisons.md"].replace("\\", "")
    assert "| 1.00 | 0.100 | undecided |" in files["comparisons.md"]


def test_the_figure_has_an_interval_a_row(fake: Any) -> None:
    found = compared(fake, row(fake, SUBJECT, OWN) + row(fake, "w", WORSE) + row(fake, "b", BETTER))
    axes: Any = comparisons_figure(found, "distance").axes[0]
    lines = {tuple(np.round(line.get_xdata(), 6)) for line in axes.lines if len(line.get_xdata()) == 2}
    for name in ("w", "b"):
        assert (round(found.table.loc[name, "low"], 6), round(found.table.loc[name, "high"], 6)) in lines
    assert [text.get_text() for text in axes.get_yticklabels()] == ["W", "B"]
    assert axes.get_legend_handles_labels()[1] == [f"{word} than {SUBJECT.upper()}" for word in ("lower", "higher")]
    assert axes.get_xlabel() == f"difference from {SUBJECT.upper()}: distance"


def test_the_summary_ends_with_the_words(fake: Any) -> None:
    cells = row(fake, SUBJECT, OWN) + row(fake, "w", WORSE)
    text = distances_in_words(cells, load_cells(fake.runs_dir, cells))
    assert f"Compared with {SUBJECT.upper()} (comparisons.md):" in text and text.splitlines()[-1].split() == [
        "W", "higher", "(p", "0.002)",
    ]  # fmt: skip
    assert "Compared with" not in distances_in_words(cells[:7], load_cells(fake.runs_dir, cells[:7]))
