"""Two tables with different engines: means, Welch's numbers, what is left out, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from clel.config import ConfigError
from clel.runs.config import with_engine
from experiments.cli import main
from experiments.engines.compare import AGREE, DIFFER, UNDECIDED, compare_engines, outcome
from experiments.engines.runs import read_runs
from experiments.printing.markup import standalone
from experiments.sweep.grid import table1_cells
from experiments.sweep.store import Stored, frame, settings
from tests.experiments.conftest import is_short

CLEL, PLAIN = "clel:quick", "plain:quick"
DISTANCES = {"fast": {CLEL: (0.2, 0.3, 0.4), PLAIN: (0.5, 0.6, 0.7)}}
DISTANCES["exact"] = {CLEL: (0.25, 0.3, 0.5), PLAIN: (0.9, 1.0, 1.1)}


def record(cell: Any, distance: float, seconds: float, **changes: Any) -> dict[str, Any]:
    """As a run of the cell would leave it, as far as runs.csv has it."""
    from clel.runs.record import blank_record

    run = cell.run
    fields = {"method": run.method, "preset": run.preset} if hasattr(run, "method") else {"method": cell.row}
    found = blank_record(cell.run_name, run, **{"preset": "reference", **fields}, dataset=cell.dataset, seed=cell.seed)
    engine = getattr(getattr(run, "config", None), "engine", "float32")
    protocol = {"features": "classifier-v1 (digits)", "features_identity": "f00d", "n_fake": 1000, "steps": 30}
    protocol |= {"engine": engine, "checkpoint": f"{engine}-{cell.seed}", "seed": cell.seed}
    found |= {"status": "ok", "metrics": {"fid_fresh": distance}, "training": {"seconds": seconds}}
    return found | {"protocol": protocol, "provenance": {"device": "C", "threads": 1, "git_sha": "abc"}} | changes


def runs_of(engine: str, seeds: int = 3, **changes: Any) -> pd.DataFrame:
    cells = table1_cells("quick", seeds, ["clel", "plain", "vae"], engine=engine)
    runs = {}
    for cell in cells:
        own = DISTANCES[engine].get(f"{cell.row}:quick", (5.0,) * 3)
        made = record(cell, own[cell.seed], 100.0 if engine == "fast" else 300.0 + cell.seed, **changes)
        runs[cell.run_name] = Stored(cell.run_name, made["status"], None, made)
    return frame(runs)


def folders(place: Path, a: pd.DataFrame, b: pd.DataFrame) -> tuple[Path, Path]:
    for name, runs in (("quick", a), ("quick-exact", b)):
        (place / name).mkdir()
        runs.to_csv(place / name / "runs.csv")
    return place / "quick", place / "quick-exact"


def test_means_deviations_and_agreement(tmp_path: Path) -> None:
    a, b = folders(tmp_path, runs_of("fast"), runs_of("exact"))
    found = compare_engines(read_runs(a), read_runs(b))
    assert found.engines == ("fast", "exact") and found.left_out == ("VAE",)
    # means 0.3 and 0.35 of deviations 0.10 and 0.13, and 0.6 and 1.0 of 0.1
    assert list(found.table.index) == [CLEL, PLAIN] and list(found.table["outcome"]) == ["undecided", "differ"]
    clel: Any = found.table.loc[CLEL]
    assert clel["title"] == "CLEL" and (clel["n_a"], clel["n_b"]) == (3, 3)
    assert (clel["seconds_a"], clel["seconds_b"]) == (100.0, 301.0)
    assert [clel[f"distance_b_seed{seed}"] for seed in range(3)] == [0.25, 0.3, 0.5]
    for side, engine in (("a", "fast"), ("b", "exact")):
        assert clel[f"distance_{side}_mean"] == pytest.approx(np.mean(DISTANCES[engine][CLEL]))
        assert clel[f"distance_{side}_std"] == pytest.approx(np.std(DISTANCES[engine][CLEL], ddof=1))
    assert clel["difference"] == pytest.approx(-0.05)


@pytest.mark.parametrize(
    ("a", "b", "word"),
    [
        ((0.99, 1.0, 1.01), (1.0, 1.01, 1.02), "agree"),
        # near and, for all that, different: p of the difference is 0.02
        ((0.99, 1.0, 1.01), (1.03, 1.04, 1.05), "agree"),
        ((0.31, 0.38, 0.67), (0.64, 1.30, 6.62), "undecided"),
        # as far apart as a quarter of the second's: 0.75 against 1
        ((0.74, 0.75, 0.76), (0.99, 1.0, 1.01), "differ"),
        # alike, but too few for the margin
        ((0.8, 1.2), (0.8, 1.2), "undecided"),
        ((1.0,), (1.0, 1.0), "undecided"),
        ((0.5, 0.5), (0.5, 0.5), "agree"),
        ((0.5, 0.5), (0.7, 0.7), "differ"),
    ],
)
def test_they_agree_only_where_equivalence_is_shown(a: tuple, b: tuple, word: str) -> None:
    found = outcome(pd.Series(a), pd.Series(b))
    assert found["outcome"] == word
    assert found["margin"] == pytest.approx(0.25 * np.mean(b))


def test_failed_runs_are_counted_and_named(tmp_path: Path) -> None:
    exact = runs_of("exact")
    lost = [name for name in exact.index if name.startswith(("clel-digits-s1", "clel-digits-s2"))]
    exact.loc[lost, "status"] = "diverged"
    folders(tmp_path, runs_of("fast"), exact)
    assert main(["engines", str(tmp_path / "quick")]) == 1
    text = (tmp_path / "quick/engines.md").read_text()
    assert "n=1/3" in text and "CLEL: exact, seed 1: diverged; seed 2: diverged." in text
    assert "0.25, –, –" in text
    assert "0 of 2 methods are shown to agree; differ: Plain EBM; undecided: CLEL." in text


def test_the_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a, b = folders(tmp_path, runs_of("fast"), runs_of("exact"))
    assert main(["engines", str(a), str(b)]) == 1  # one of the two does not agree
    short = (a / "engines_summary.md").read_text()
    assert is_short(short) and "| CLEL | 0.30 ± 0.10 (n=3) | 0.35 ± 0.13 (n=3) |" in short
    text = (a / "engines.md").read_text()
    assert "**Outcome:** 0 of 2 methods are shown to agree; differ: Plain EBM; undecided: CLEL." in text
    interval = stats.ttest_ind(*(DISTANCES[e][CLEL] for e in ("fast", "exact")), equal_var=False).confidence_interval()
    low, high = (f"{end:.2f}".replace("-", "−") for end in interval)
    assert f"| CLEL | 0.30 ± 0.10 (n=3) | 0.35 ± 0.13 (n=3) | −0.05 \\[{low}, {high}\\] |" in text
    assert "less than 25 % of that with exact (two one-sided tests" in text and "0.20, 0.30, 0.40" in text
    assert short in capsys.readouterr().out
    assert pd.read_csv(a / "engines.csv", index_col="row").loc[PLAIN, "outcome"] == "differ"
    assert (a / "figures/engines.png").read_bytes().startswith(b"\x89PNG")
    tex = standalone((a / "engines.tex").read_text())
    assert "U+" not in tex and r"\begin{tabular}" in tex
    first = {p.name: p.read_bytes() for p in a.rglob("engines.*")}
    main(["engines", str(a)])
    assert {p.name: p.read_bytes() for p in a.rglob("engines.*")} == first and len(first) == 4


def changed(runs: pd.DataFrame, column: str, value: object, where: str = "") -> pd.DataFrame:
    runs = runs.copy()
    runs[column] = runs[column].astype(object)
    runs.loc[[name for name in runs.index if where in name], column] = value
    return runs


@pytest.mark.parametrize(
    ("column", "value", "where", "message"),
    [
        ("dataset", "shapes", "", "data sets differ: digits against shapes"),
        ("protocol_features", "inception", "", r"feature spaces differ: classifier-v1 \(digits\) against inception"),
        ("protocol_features_identity", "beef", "", r"feature spaces \(their identity\) differ: f00d against beef"),
        ("settings", "00000000", "clel-digits-s1", "clel:quick: settings other than seed and engine differ"),
        (
            "protocol_n_fake",
            500,
            "plain-digits-s2",
            "plain:quick, seed 2: measured in two ways, n_fake 1000 against 500",
        ),
        ("protocol_steps", None, "clel-digits-s0", "clel:quick, seed 0: measured in two ways, steps 30"),
        ("protocol_engine", "fast", "clel", "several engines: fast, exact"),
    ],
)
def test_tables_that_differ_in_more_are_refused(
    column: str, value: object, where: str, message: str, tmp_path: Path
) -> None:
    a, b = folders(tmp_path, runs_of("fast"), changed(runs_of("exact"), column, value, where))
    with pytest.raises(ConfigError, match=message):
        compare_engines(read_runs(a), read_runs(b))


def test_other_refusals(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fast, exact = runs_of("fast"), runs_of("exact")
    a, b = folders(tmp_path, fast, exact)
    for other, message in (
        (fast, "both tables have the same runs; make table1 ENGINE="),
        (runs_of("exact", seeds=2), "seeds 0, 1, 2 against 0, 1"),
        (exact.drop(columns="settings"), "has no column settings"),
        (changed(exact, "seed", None, "plain-digits-s0"), "no record; make table1 goes on"),
        (exact[exact["method"] == "noise"], "no run that was trained"),
    ):
        other.to_csv(b / "runs.csv")
        assert main(["engines", str(a), str(b)]) == 2
        assert message in capsys.readouterr().err
    (b / "runs.csv").unlink()
    assert main(["engines", str(a)]) == 2
    assert "make table1 writes it, with ENGINE=" in capsys.readouterr().err
    assert not list(a.rglob("engines.*"))


def test_settings_are_all_but_seed_and_engine() -> None:
    from clel.config import to_dict

    (cell,) = [c for c in table1_cells("quick", rows=["clel"]) if c.row == "clel"]
    other_seed = table1_cells("quick", seeds=2, rows=["clel"])[-1].run
    run: Any = cell.run
    one = settings({"config": to_dict(run)})
    assert one and settings({"config": to_dict(with_engine(run, "exact"))}) == one
    assert settings({"config": to_dict(other_seed)}) == one
    for path, value in ((("config", "lr"), 0.5), (("train", "iterations"), 7), (("dataset",), "shapes")):
        values = to_dict(run)
        table = values
        for name in path[:-1]:
            table = table[name]
        table[path[-1]] = value
        assert settings({"config": values}) != one
    # an option that came later, and was not there when the record was written
    values = to_dict(run)
    del values["config"]["views"]["style"]
    assert settings({"config": values}) == one
    values = to_dict(run)
    values["train"]["log_every"] = 999
    values["evaluate"]["samples"] = 7
    values["device"] = "cuda"
    assert settings({"config": values}) == one
    assert settings({"config": {"reference": "noise"}}) is None and settings({}) is None


def test_the_exit_status_is_0_where_all_are_shown_to_agree(tmp_path: Path) -> None:
    runs = {engine: runs_of(engine) for engine in ("fast", "exact")}
    for made in runs.values():
        names = [name for name in made.index if name.startswith(("clel-digits", "plain-digits"))]
        made.loc[names, "fid_fresh"] = [0.99, 1.0, 1.01] * 2
    a, b = folders(tmp_path, *runs.values())
    assert main(["engines", str(a), str(b)]) == 0
    assert "2 of 2 methods are shown to agree." in (a / "engines.md").read_text()


def test_the_tables_are_named_as_make_table1_names_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a, b = folders(tmp_path, runs_of("fast"), runs_of("exact"))
    assert main(["engines", "--out", str(tmp_path)]) == 1
    assert (a / "engines.md").exists()
    a.rename(tmp_path / "quick-plain-clel")
    b.rename(tmp_path / "quick-plain-clel-exact")
    for methods in ("plain,clel", "clel,plain"):
        assert main(["engines", "--methods", methods, "--engine", "exact", "--out", str(tmp_path)]) == 1
    capsys.readouterr()
    assert main(["engines", "--dataset", "shapes", "--engine", "bfloat16", "--out", str(tmp_path)]) == 2
    assert f"{tmp_path}/quick-shapes/runs.csv: not there" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("option", "word", "message"),
    [
        ("--engine", "exat", "unknown engine 'exat'; did you mean 'exact'?"),
        ("--profile", "quik", "unknown profile 'quik'; did you mean 'quick'?"),
        ("--methods", "clle", "unknown method 'clle'; did you mean 'clel'?"),
    ],
)
def test_misspelt_names_are_told(option: str, word: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["engines", option, word]) == 2
    assert message in capsys.readouterr().err
    assert main(["engines", "results/quick", option, word]) == 2
    assert "give one of the two" in capsys.readouterr().err


def test_engines_never_agree_where_a_run_diverged() -> None:
    even = pd.Series([0.30, 0.31, 0.29, 0.30, 0.30, 0.31, 0.29, 0.30, 0.31, 0.29])
    assert outcome(even, even)["outcome"] == AGREE
    some = pd.concat([even[:9], pd.Series([np.inf])])
    assert outcome(even, some)["outcome"] == UNDECIDED
    most = pd.concat([even[:1], pd.Series([np.inf] * 9)])
    found = outcome(even, most)
    assert found["outcome"] == DIFFER and found["difference"] == pytest.approx(float(even.mean() - even[0]))
