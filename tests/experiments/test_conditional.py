"""make conditional and its sweep: the rule that chooses settings, what is measured, and a walk to the tables."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import torch

from clel.commands.sample import SampleOptions
from clel.config import ConfigError
from clel.data import load
from clel.sampling.conditional import Guidance
from experiments.cli import main
from experiments.conditional import settings
from experiments.conditional.command import CONDITIONAL, ConditionalOptions
from experiments.conditional.judge import judge_of
from experiments.conditional.measure import Conditional, described, measure_real
from experiments.conditional.settings import RECALL, GuidedLine, as_csv, best, chosen, read_sweep, tried
from experiments.conditional.table import least_share, paper_diagonal, sweep_grid

ORDER = "--profile smoke --device cpu --cluster debug --each 6".split()


def line(weight: float, accuracy: float, recall: float, seed: int = 100, centred: bool = False) -> GuidedLine:
    return GuidedLine("quick", "digits", "clel", seed, weight, 30, centred, 0.0, 0, accuracy, recall, "then")


def test_the_rule_takes_the_most_accurate_of_those_that_keep_recall() -> None:
    lines = [line(0.01, 0.8, 0.9), line(0.03, 0.9, 0.6), line(0.1, 0.99, 0.3)]
    assert best(lines) == Guidance(0.03, 30)
    # a difference that is none is no reason to give recall away
    assert best([*lines, line(0.02, 0.895, 0.8)]) == Guidance(0.02, 30)
    assert best([*lines, line(0.02, 0.88, 0.8)]) == Guidance(0.03, 30)
    # over the seeds, in the mean
    assert best([*lines, line(0.03, 0.9, 0.2, seed=101)]) == Guidance(0.01, 30)
    # of equals the smaller weight; and where none keeps enough, the one that keeps most
    assert best([line(0.05, 0.9, 0.6), line(0.03, 0.9, 0.8)]) == Guidance(0.03, 30)
    assert best([line(0.05, 0.9, 0.3), line(0.03, 0.8, 0.4)]) == Guidance(0.03, 30)
    assert best([]) is None
    assert RECALL == 0.5


def test_settings_come_from_the_kept_sweep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = [line(0.01, 0.8, 0.9), line(0.03, 0.9, 0.6, centred=True)]
    (tmp_path / "sweep.csv").write_text(as_csv(lines))
    assert read_sweep(tmp_path / "sweep.csv") == lines
    monkeypatch.setattr(settings, "KEPT", tmp_path / "sweep.csv")
    assert chosen("quick", "digits", "clel") == (Guidance(0.03, 30, centred=True), True)
    assert chosen("smoke", "digits", "clel") == chosen("quick", "digits", "clel")
    assert chosen("quick", "digits", "plain") == (settings.UNSWEPT["plain"], False)
    (tmp_path / "sweep.csv").write_text("a,b\n1,2\n")
    with pytest.raises(ConfigError, match="columns are"):
        chosen("quick", "digits", "clel")
    grid = sweep_grid(lines)
    assert [row[-1].text for row in grid.rows] == ["", "chosen"]


def test_clel_sample_draws_classes_as_the_sweep_chose() -> None:
    found, swept = chosen("quick", "digits", "clel")
    asked = SampleOptions(Path("run"))
    own = (found.weight, found.centred, found.spread, found.restarts)
    assert swept and own == (asked.weight, asked.centred, asked.spread, asked.restarts)


def test_every_setting_is_tried_once() -> None:
    assert len(set(tried("clel", 30))) == len(tried("clel", 30)) == 36
    assert {guidance.centred for guidance in tried("plain", 30)} == {False}


def test_real_images_are_judged_as_well_as_the_judge_can(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLEL_CACHE", str(cache))
    values, pixels = measure_real("digits", Conditional(Guidance(), 20, "svm", "classifier"))
    assert len(pixels) == 200 and values["accuracy"] > 0.95 and values["judge_accuracy"] > 0.98
    assert torch.tensor(values["confusion"]).sum(1).tolist() == [20] * 10
    assert values["accuracy"] == pytest.approx(sum(c["correct"] / 20 for c in values["classes"]) / 10)
    # the same images, a class on: none is of the class that was asked for
    train, held_out = load("digits"), load("digits", "test")
    turned = pixels.roll(20, 0)
    wrong = described(turned, Conditional(Guidance(), 20, "svm", "classifier"), train, held_out, pixels)
    assert wrong["accuracy"] < 0.05
    assert all(w["distance"] > r["distance"] for w, r in zip(wrong["classes"], values["classes"], strict=True))
    # its images are those that unconditional samples are compared with, so that a class's own recall is kept whole
    right = described(pixels, Conditional(Guidance(), 20, "svm", "classifier"), train, held_out, pixels)
    assert least_share(right) == pytest.approx(1.0, abs=0.3) and (least_share(wrong) or 0) < 0.2


def test_judges() -> None:
    with pytest.raises(ConfigError, match="unknown judge"):
        judge_of("digits", "smv")
    assert paper_diagonal() == "0.960"


@pytest.mark.slow
def test_a_walk_to_the_tables(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CLEL_CACHE", str(cache))
    monkeypatch.setattr(settings, "WEIGHTS", {"clel": (0.01, 0.1), "plain": (0.001,)})
    monkeypatch.setattr(settings, "LONGER", {"clel": (2,), "plain": (1,)})
    monkeypatch.setattr(settings, "SPREADS", ((0.0, 0), (1.0, 2)))
    kept_in = tmp_path / "sweep.csv"
    for module in ("settings", "sweep"):
        monkeypatch.setattr(f"experiments.conditional.{module}.KEPT", kept_in)
    order = [*ORDER, "--out", str(tmp_path)]
    assert main(["conditional", *order]) == 0
    table = (tmp_path / "smoke" / "conditional.md").read_text()
    assert "`make conditional PROFILE=smoke EACH=6`" in table and "not chosen by a sweep" in table
    rows = pd.read_csv(tmp_path / "smoke" / "conditional.csv")
    assert list(rows["row"].unique()) == ["real", "clel", "plain"] and len(rows) == 30
    assert {p.name for p in (tmp_path / "smoke" / "figures").iterdir()} == {
        "conditional_confusion.png",
        "conditional_samples.png",
    }
    # measured once: the second time the numbers are read, and damaged ones are measured again
    kept = sorted((tmp_path / "runs").glob("*/measured/conditional-*.json"))
    before = [path.stat().st_mtime_ns for path in kept]
    kept[0].write_text(kept[0].read_text()[:-20])
    assert main(["conditional", *order, "--report"]) == 0
    assert [path.stat().st_mtime_ns == t for path, t in zip(kept, before, strict=True)] == [False, True, True]
    assert (tmp_path / "smoke" / "conditional.md").read_text() == table
    # another measurement, beside it; and a table of other options is not replaced
    assert json.loads(kept[0].read_text())["protocol"]["each"] == 6
    assert main(["conditional", *order, "--weight", "0.5"]) == 2
    assert "has conditional of other options" in capsys.readouterr().err
    # the sweep has a seed that no table reports
    assert main(["conditional-sweep", *order]) == 0
    with (tmp_path / "smoke" / "conditional-sweep.csv").open() as file:
        lines = list(csv.DictReader(file))
    assert {x["seed"] for x in lines} == {"102"} and len(lines) == 2 * 2 + 1
    # it is kept when that is asked for, also of what was measured before
    assert main(["conditional-sweep", *order, "--report", "--keep"]) == 0
    assert len(read_sweep(kept_in)) == len(lines)


def test_what_cannot_be_is_refused_before_training(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    order = [*ORDER, "--out", str(tmp_path)]
    for more, message in [
        (["--weight", "-1"], "weight is -1"),
        (["--rounds", "5", "--steps", "2"], "more of them than steps"),
        (["--profile", "qick"], "'quick'"),
        (["--seeds", "0"], "expected at least 1"),
    ]:
        assert main(["conditional", *order, *more]) == 2
        assert message in capsys.readouterr().err
    assert main(["conditional-sweep", *order, "--seeds", "3"]) == 2
    assert "seeds of its own" in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()


def test_options_are_named_and_restored(tmp_path: Path) -> None:
    options = ConditionalOptions(profile="smoke", seeds=2, weight=0.5, centred=True, out=tmp_path)
    assert CONDITIONAL.command(options) == "make conditional PROFILE=smoke SEEDS=2 WEIGHT=0.5 CENTRED=1"
    assert CONDITIONAL.restored(CONDITIONAL.stored(options), tmp_path) == options
    assert CONDITIONAL.folder(options) == tmp_path / "smoke-2-seeds"
    assert CONDITIONAL.cells_of(options) == CONDITIONAL.cells_of(replace(options, weight=None))
