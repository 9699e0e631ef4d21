"""make ablations: the declared rows, their comparisons, and the command from nothing to its table."""

from __future__ import annotations

import json
import math
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from clel.config import ConfigError
from clel.storage.log import shown_notices
from experiments.ablations import measure
from experiments.ablations.command import Ablations, AblationsOptions
from experiments.ablations.results import aurocs_of, beside_default, results
from experiments.ablations.rows import BETAS, STUDIES, cells_of, studies, study_names
from experiments.ablations.table import about, outcome_lines, study_grid
from experiments.cli import main
from experiments.commands.artefacts import artefact_of
from experiments.measured import artefact
from experiments.measured.artefact import Found
from experiments.reading.published import load_published
from experiments.sweep.grid import PROFILES, table1_cells
from experiments.sweep.store import Stored

ALL = tuple(STUDIES)


def made_up(distances: dict[str, tuple[float | None, ...]], seeds: int = 3, **options: Any) -> list[Found]:
    """Every declared run, those of the rows named with these distances (None: diverged), all others with 10, 11, ..."""
    found = []
    for cell in cells_of("quick", options.get("wanted", ALL), seeds, None, "cpu"):
        values = distances.get(cell.row, tuple(10.0 + seed for seed in range(seeds)))
        distance = values[cell.seed]
        metrics = {} if distance is None else {"fid_fresh": distance}
        training = {"seconds": 90.0, "iterations": 900, "parameters": 142144, "peak_memory_bytes": 500_000_000}
        record = {"metrics": metrics, "training": training, "config": {}, "protocol": {"features": "classifier-v1"}}
        status = "ok" if distance is not None else "diverged"
        run = Stored(cell.run_name, status, None if distance is not None else "E is not finite", record)
        found.append(Found(cell, run, measure.AblatedDetection("svhn", "joint"), {"auroc": 0.5 + 0.01 * cell.seed}))
    return found


@pytest.mark.parametrize("profile", PROFILES)
def test_every_profile_has_every_study(profile: str) -> None:
    """Runs are declared once; rows that say the same are the same run; the default and the plain EBM are Table 1's."""
    cells = cells_of(profile, ALL, 2, None, "cpu")
    assert len({cell.run_name for cell in cells}) == len(cells) == 2 * len({cell.row for cell in cells})
    assert cells[0].row == "clel" and {cell.seed for cell in cells} == {0, 1}
    own = {cell.run_name for cell in table1_cells(profile, 2, ["clel", "plain"], device="cpu")}
    assert {cell.run_name for cell in cells if cell.row in ("clel", "plain")} <= own
    keys = {cell.row for cell in cells}
    figures = load_published()
    for study in studies(profile, ALL):
        assert len(study.rows) >= 2 and len({row.key for row in study.rows}) == len(study.rows)
        assert all(row.key in keys for row in study.rows)
        assert sum(row.key == "clel" for row in study.rows) == 1, "each study has the default once"
        for row in study.rows:
            assert row.published is None or ("cifar10", row.published, "fid") in figures
    assert len(studies(profile, ["ladder"])[0].rows) == 5


def test_what_the_rows_change() -> None:
    configs: dict[str, Any] = {c.row: c.run.config for c in cells_of("quick", ALL, 1, None, "cpu")}  # type: ignore
    base = configs["clel"]
    (beta,) = studies("quick", ["beta"])
    assert [row.title for row in beta.rows] == ["0", "0.001", "0.003, the preset's", "0.01", "0.1"]
    assert {configs[row.key].beta for row in beta.rows} == {0.0, base.beta, *BETAS}
    first, second, third, fourth, fifth = (configs[row.key] for row in studies("quick", ["components"])[0].rows)
    assert (first.beta, first.network.projection, first.generated_negatives) == (0.0, "none", False)
    assert second == replace(base, generated_negatives=False)
    assert third == base
    assert (fourth.network.projection, fifth.network.projection) == ("none", "linear")
    none, _, byol, frozen = (configs[row.key] for row in studies("quick", ["encoder"])[0].rows)
    assert none == first and byol.objective == "byol" and frozen.encoder.kind == "frozen"
    assert [configs[row.key].network.towers for row in studies("quick", ["ladder"])[0].rows] == [1, 1, 3, 3, 3]
    assert (
        next(c for c in cells_of("evening", ["encoder"], 1, None, "cpu") if "frozen" in c.row).run.config.encoder.side
        == 96
    )  # type: ignore


def test_studies_are_chosen_by_name() -> None:
    assert study_names("") == ALL
    assert study_names(" ladder, beta") == ("beta", "ladder")
    with pytest.raises(ConfigError, match="did you mean 'ladder'"):
        study_names("laddre")
    assert {c.row for c in cells_of("quick", ["energy"], 1, None, "cpu")} == {"clel", "clel[network.energy=head]"}


def test_each_row_is_compared_with_the_default() -> None:
    """One that is far above with every seed of six, one that is below in part, one that diverged."""
    low = "clel[network.energy=head]"
    high = "clel[negative_latents=draw]"
    found = made_up(
        {
            "clel": tuple(10.0 + 0.1 * seed for seed in range(6)),
            low: tuple(5.0 + 0.1 * seed for seed in range(6)),
            high: (*(20.0 + seed for seed in range(5)), None),
        },
        6,
        wanted=("energy", "negatives"),
    )
    own = studies("quick", ("energy", "negatives"))
    frame = results(own, found)
    shown = [study_grid(study, frame, found).rows[1][2].text for study in own]
    assert shown[0].startswith("lower (p 0.00") and shown[0].endswith(": −5.00 [−5.24, −4.76]")
    assert not any(line.startswith("Too few seeds") for line in about(frame, found, "CLEL", None))
    frame = frame.set_index("row")
    assert list(frame["distance_outcome"].fillna("")) == ["", "lower", "", "higher"]
    assert frame.loc[low, "distance_difference"] == pytest.approx(-5.0)
    assert frame.loc[low, "distance_low"] < -5.0 < frame.loc[low, "distance_high"]
    assert (frame.loc[high, "n"], frame.loc[high, "runs"]) == (5, 6)
    assert "seed 5: diverged (E is not finite)" in frame.loc[high, "failures"]
    # AUROCs are all alike here: nothing is shown
    assert frame.loc[low, "auroc_outcome"] == frame.loc[high, "auroc_outcome"] == "undecided"
    assert frame.loc[low, "auroc_mean"] == pytest.approx(0.525)


def test_numbers_beside_the_default() -> None:
    rows = {
        "clel": dict(enumerate((0.5, 0.51, 0.52, 0.53, 0.54))),
        "up": dict(enumerate((0.9, 0.91, 0.92, 0.93, 0.94))),
        "down": dict(enumerate((0.1, 0.11, 0.12, 0.13, 0.14))),
        "one": {0: 0.9},
        "none": {},
    }
    found = beside_default(rows)
    assert set(found) == {"up", "down"}
    assert (found["up"]["outcome"], found["down"]["outcome"]) == ("higher", "lower")
    # five against five without overlap: p = 2 / C(10, 5), twice that after Holm's first
    assert found["up"]["p_ranks"] == pytest.approx(2 / math.comb(10, 5))
    assert found["up"]["p_holm"] == pytest.approx(4 / math.comb(10, 5))
    assert found["up"]["difference"] == pytest.approx(0.4)
    assert beside_default({"clel": {}, "up": rows["up"]}) == {}


def test_the_tables_are_for_reading() -> None:
    """At most seven columns; the paper's figures in the rows that they belong to; few notes."""
    found = made_up({"clel[beta=0.1]": (50.0, None, 70.0)})
    own = studies("quick", ALL)
    frame = results(own, found)
    for study in own:
        grid = study_grid(study, frame, found)
        assert len(grid.headers) <= 7 and len(grid.footnotes) <= 2
        assert len(grid.rows) == len(study.rows)
        assert all(len(line) == len(grid.headers) for line in grid.rows)
    by_name = {study.name: study_grid(study, frame, found) for study in own}
    assert [line[5].text for line in by_name["components"].rows] == ["42.46", "36.29", "35.73", "86.02", "37.35"]
    assert [line[6].text for line in by_name["encoder"].rows] == ["0.8532", "0.8723", "0.8792", "0.8561"]
    assert by_name["beta"].rows[-1][1].text == "60.00 ± 14.14 (n=2/3)"
    assert by_name["beta"].footnotes == ["0.1: seed 1: diverged (E is not finite)."]
    assert [line[6].text for line in by_name["ladder"].rows] == ["38, 6", "41, 7", "74, 8", "76, 10", "133, 11"]
    assert [line[3].text for line in by_name["ladder"].rows] == ["100"] * 5
    lines = about(frame, found, "CLEL", "svhn")
    assert any(line.startswith("Too few seeds: p cannot be below 0.100 here, 1.000 after") for line in lines)
    assert sum(line.startswith(f"  {row.title} ") for line in outcome_lines(own, frame) for row in own[0].rows) == 5


def test_the_ladder_has_what_speed_memory_measured(tmp_path: Path) -> None:
    path = tmp_path / "speed_memory.csv"
    rows = [("plain", "ok", 80.0, 3e7), ("clel", "ok", 100.0, 5e7), ("clel:+towers", "failed", None, None)]
    pd.DataFrame(rows, columns=["row", "status", "iteration_ms", "peak_memory_bytes"]).to_csv(path, index=False)
    own, found = studies("quick", ["ladder"]), made_up({}, wanted=("ladder",))
    grid = study_grid(own[0], results(own, found, path), found)
    assert "of make speed-memory" in grid.headers[3].lines
    assert [[text.text for text in line[3:5]] for line in grid.rows[:3]] == [["80.0", "30"], ["100", "50"], ["–", "–"]]
    none = study_grid(own[0], results(own, found, tmp_path / "none.csv"), found)
    assert "of the runs themselves" in none.headers[3].lines


def test_the_score_of_a_run() -> None:
    """E(x) where nothing guides the energy, E(x, h(x)) elsewhere; seeds without a number are left out."""
    cells = {cell.row: cell for cell in cells_of("quick", ALL, 1, None, "cpu")}
    assert {row: measure.score_of(cell) for row, cell in cells.items() if measure.score_of(cell) == "energy"} == {
        "plain": "energy",
        "clel[generated_negatives=false,beta=0.0,network.projection=none]": "energy",
    }
    found = made_up({}, wanted=("energy",))
    assert aurocs_of([replace(found[0], values=None), replace(found[1], values={}), found[2]]) == {2: 0.52}


def detected(folder: Path, against: str, score: str, *, device: str) -> float:
    assert (folder / "record.json").exists() and device == "cpu"
    return {"joint": 0.75, "energy": 0.5}[score]


def test_bad_input_is_one_line_before_anything_is_computed(tmp_path: Path, capsys: Any) -> None:
    asked = ["--out", str(tmp_path), "--device", "cpu", "--profile", "smoke"]
    for given, message in [
        (["--studies", "componens"], "unknown study 'componens'; did you mean 'components'?"),
        (["--profile", "smok"], "unknown profile 'smok'; did you mean 'smoke'?"),
        (["--seeds", "0"], "seeds is 0; expected at least 1"),
        (["--cluster", "slrum"], "unknown cluster 'slrum'"),
        (["--dataset", "digts"], "digts"),
    ]:
        assert main(["ablations", *asked, *given]) == 2
        said = capsys.readouterr().err
        assert message in said and said.count("\n") == 1, said
    assert not list(tmp_path.iterdir())


def test_a_set_that_is_not_there_is_refused() -> None:
    with pytest.raises(ConfigError, match="unknown set of images out of distribution"):
        Ablations().completed(AblationsOptions(ood="shvn"))
    cell = cells_of("quick", ["energy"], 1, None, "cpu")[0]
    assert Ablations().protocols(AblationsOptions(ood="none"), cell) == []
    assert [p.against for p in Ablations().protocols(AblationsOptions(), cell)] == ["interpolated"]


def test_folder_and_command() -> None:
    own = Ablations()
    options = own.completed(AblationsOptions(profile="smoke", seeds=2, studies="ladder,energy", ood="none"))
    assert own.folder(options) == Path("results/smoke-2-seeds-energy-ladder-ood-none")
    assert own.command(options) == "make ablations PROFILE=smoke SEEDS=2 STUDIES=energy,ladder OOD=none"
    assert own.folder(own.completed(AblationsOptions(profile="smoke", studies=",".join(ALL)))).name == "smoke"
    kept = json.loads(json.dumps(own.stored(options)))
    again: Any = artefact_of(kept).restored(kept, options.out)
    assert [c.run_name for c in own.cells_of(again)] == [c.run_name for c in own.cells_of(options)]


@pytest.mark.slow
def test_from_nothing_to_the_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Smoke runs of a study, trained in this process, measured once, and tabled; again from what there is, and from
    what is kept of it where the runs are gone."""
    monkeypatch.setenv("CLEL_CACHE", str(cache))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(measure, "auroc_of", detected)
    asked = ["ablations", "--profile", "smoke", "--studies", "encoder", "--device", "cpu"]
    asked += ["--cluster", "debug"]
    asked, project = [*asked, "--out"], "results/project"
    with shown_notices():
        assert main([*asked, project]) == 0
    folder = Path(project, "smoke-encoder")
    text = (folder / "ablations.md").read_text()
    assert "## Objective of the encoder (the paper's Table 5)" in text and "| BYOL |" in text
    assert "`make ablations PROFILE=smoke STUDIES=encoder`" in text
    frame = pd.read_csv(folder / "ablations.csv")
    assert list(frame["n"]) == [1] * 4 and frame["distance_mean"].notna().all()
    assert list(frame["auroc_mean"]) == [0.5, *[0.75] * 3]
    runs = pd.read_csv(folder / "ablations_runs.csv")
    assert list(runs["status"]) == ["ok"] * 4 and len(set(runs["run"])) == 4
    assert (folder / "ablations.tex").exists() and (folder / "figures/ablations.png").read_bytes()[1:4] == b"PNG"
    capsys.readouterr()

    def never(*_: Any, **__: Any) -> float:
        raise AssertionError("measured twice")

    monkeypatch.setattr(measure, "auroc_of", never)
    assert main([*asked, project, "--report"]) == 0
    assert "frozen EfficientNet-Lite0" in capsys.readouterr().out
    assert (folder / "ablations.md").read_text() == text

    assert main([*asked, project, "--archive"]) == 0
    shutil.rmtree(Path(project, "runs"))
    trained: list[str] = []
    monkeypatch.setattr(artefact, "run_on_this_machine", lambda cells, *more: trained.extend(c.row for c in cells))
    assert main([*asked, project, "--project"]) == 0 and trained == []
    assert (folder / "ablations.md").read_text() == text
    assert main([*asked, "mine", "--project"]) == 0 and trained == []
    own = Path("mine/smoke-encoder/ablations.md").read_text()
    assert "**The project's own:** clel-digits-s0-" in own and "| BYOL |" in own
    # a run of which a measurement is missing cannot be measured any more, and is trained
    next(Path(project, "records").glob("clel-*/measured/*.json")).unlink()
    assert main([*asked, "mine", "--project"]) == 1 and len(trained) == 1
