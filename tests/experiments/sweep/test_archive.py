"""Runs that are kept in short stand in another table, marked, without being trained again."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from clel.data import load
from experiments.cli import main
from experiments.commands.again import Collect, collect
from experiments.runs.external import External
from experiments.slurm.sweep import new_sweep
from experiments.sweep.archive import LINES, RECORDS, _content, archive, archived, not_kept, thinned
from experiments.sweep.grid import table1_cells
from experiments.sweep.store import load_cells
from experiments.table1 import command as table1
from experiments.table1.command import Table1, command
from experiments.table1.curves import distance_curve, gap_curve

PROJECT = "results/project"
ASKED = "table1 --profile smoke --methods plain --device cpu --cluster debug".split()
FIGURES = ("distance_over_time", "distance_over_gradients", "distance_over_steps", "energy_gap", "samples")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> Path:
    """A folder with a smoke table among the project's results, and its runs kept."""
    place = tmp_path_factory.mktemp("project")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        patch.setenv("CLEL_CACHE", str(cache))
        assert main([*ASKED, "--out", PROJECT]) == 0
        assert main([*ASKED, "--out", PROJECT, "--archive"]) == 0
    return place


@pytest.fixture
def here(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it to work in, where training is told by `trained.json` and nothing is trained."""
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(table1, "prepare", lambda *given: None)
    tell = tmp_path / "trained.json"
    monkeypatch.setattr(
        table1, "run_on_this_machine", lambda cells, runs, *more: tell.write_text(json.dumps([c.row for c in cells]))
    )
    return tmp_path


def trained() -> list[str]:
    return json.loads(Path("trained.json").read_text())


def test_a_log_is_thinned_to_what_figures_draw() -> None:
    log: list[dict[str, Any]] = []
    for i in range(1, 251):
        energies = {"energy_positive": 0.0, "energy_negative": float(i), "loss": 1.0}
        log.append({"kind": "train", "iteration": i, "seconds": 2.0 * i, **energies})
        if i % 50 == 0:
            log.append({"kind": "evaluation", "iteration": i, "seconds": 2.0 * i, "fid_fresh": 1.0 * i, "n_fresh": 9})
    short = thinned(log)
    train = [line for line in short if line["kind"] == "train"]
    steps = [line["iteration"] for line in train]
    # the fewest equal strides of whole lines that leave no more than LINES
    assert steps == list(range(250 % 3 or 3, 251, 3)) and len(steps) == 84 <= LINES
    assert "loss" not in train[0] and "energy_negative" in train[0]
    assert [line for line in short if line["kind"] != "train"] == [line for line in log if line["kind"] != "train"]
    assert all(np.array_equal(a, b) for a, b in zip(distance_curve(short), distance_curve(log), strict=True))
    x, gap = gap_curve(short)
    assert gap == pytest.approx(x)  # of a straight line
    assert thinned(log[:LINES]) == [
        {k: v for k, v in line.items() if k not in ("loss", "seconds") or line["kind"] == "evaluation"}
        for line in log[:LINES]
    ]


@pytest.mark.slow
def test_what_is_kept_is_small_and_whole(made: Path) -> None:
    runs, kept = (made / PROJECT / name for name in ("runs", "records"))
    assert {p.name for p in kept.iterdir()} == {p.name for p in runs.iterdir() if (p / "record.json").exists()}
    for folder in kept.iterdir():
        files = [p.relative_to(folder) for p in folder.rglob("*") if p.is_file()]
        assert {p.name for p in files} - {"log.jsonl"} == {"record.json", "samples.npy"}
        assert sum((folder / p).stat().st_size for p in files) < 25_000
        assert (folder / "record.json").read_bytes() == (runs / folder.name / "record.json").read_bytes()
        (samples,) = (p for p in files if p.name == "samples.npy")
        assert np.array_equal(np.load(folder / samples), np.load(runs / folder.name / samples)[:64])


@pytest.mark.slow
def test_the_projects_runs_stand_in_a_users_table_marked(here: Path) -> None:
    assert main([*ASKED, "--out", "mine", "--project"]) == 0
    assert trained() == [] and not Path("mine/runs").exists()
    text = Path("mine/smoke-plain/table1.md").read_text()
    assert "1 of its 1 runs is the project's own, not made here (commit " in text
    assert "`make table1 PROFILE=smoke METHODS=plain PROJECT=1`" in text
    runs = pd.read_csv("mine/smoke-plain/runs.csv")
    assert (
        list(runs["method"]) == ["noise", "real", "plain"] and runs["project"].all() and (runs["status"] == "ok").all()
    )
    theirs = pd.read_csv(f"{PROJECT}/smoke-plain/runs.csv")
    assert "project" not in theirs and theirs.equals(runs.drop(columns="project"))
    for name in FIGURES:
        same = [Path(out, f"smoke-plain/figures/{name}.png").read_bytes() for out in ("mine", PROJECT)]
        assert same[0] == same[1], name


@pytest.mark.slow
def test_in_the_projects_own_table_they_are_like_all_others(here: Path) -> None:
    """So that a long table can be made in several sittings, on machines of which none has all runs."""
    before = Path(f"{PROJECT}/smoke-plain/table1.md").read_text()
    shutil.rmtree(f"{PROJECT}/runs")
    assert main([*ASKED, "--out", PROJECT, "--project"]) == 0
    assert trained() == [] and Path(f"{PROJECT}/smoke-plain/table1.md").read_text() == before
    assert command(Table1(project=True, out=Path(PROJECT))) == "make table1"
    # what is kept stays when the runs are elsewhere
    assert main([*ASKED, "--out", PROJECT, "--archive"]) == 0 and len(list(RECORDS.iterdir())) == 3


@pytest.mark.slow
def test_a_users_own_run_has_precedence(here: Path) -> None:
    shutil.copytree(f"{PROJECT}/runs", "mine/runs")
    for folder in Path("mine/runs").glob("noise-*"):
        shutil.rmtree(folder)
    assert main([*ASKED, "--out", "mine", "--project"]) == 0
    runs = pd.read_csv("mine/smoke-plain/runs.csv").set_index("method")
    assert runs.index[runs["project"].eq(True)].tolist() == ["noise"]
    assert "Plain EBM: 1 of its" not in Path("mine/smoke-plain/table1.md").read_text()


@pytest.mark.slow
def test_a_damaged_record_is_trained_and_until_then_a_reason(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (record,) = RECORDS.glob("plain-*/record.json")
    record.write_text("{")
    assert main([*ASKED, "--out", "mine", "--project"]) == 1
    assert trained() == ["plain"] and "1 of 3 runs have no result" in capsys.readouterr().err
    assert main([*ASKED, "--out", "mine", "--project", "--report"]) == 1
    text = Path("mine/smoke-plain/table1.md").read_text()
    assert "n=0/1" in text and "seed 0: unreadable" in text and f"{record.parent.name}/record.json" in text
    # without PROJECT=1 nobody looks there
    assert main([*ASKED, "--out", "yours"]) == 1 and trained() == ["noise", "real", "plain"]


@pytest.mark.slow
def test_they_stand_only_where_settings_and_measures_are_those_asked_for(here: Path) -> None:
    for more in (["--sampling-seeds", "2"], ["--engine", "exact"]):
        assert main([*ASKED, "--out", "mine", "--project", *more]) == 1
        assert "plain" in trained()
    cells = table1_cells("smoke", 2, ["plain"], device="cpu")
    assert [(c.row, c.seed) for c in not_kept(cells, archived(cells, Path("mine/runs")))] == [
        ("noise", 1),
        ("plain", 1),
    ]


@pytest.mark.slow
def test_a_submitted_table_is_collected_with_them(here: Path) -> None:
    options = Table1("smoke", methods="plain", device="cpu", project=True, out=here / "mine")
    first, *_ = table1.cells_of(options)
    shutil.copytree(f"{PROJECT}/runs/{first.run_name}", f"mine/runs/{first.run_name}")
    sweep = new_sweep(options.out, "smoke-plain", here, command(options), table1.stored(options), [first.run_name])
    assert collect(Collect(sweep.folder)) == 0
    runs = pd.read_csv("mine/smoke-plain/runs.csv").set_index("method")
    assert runs.index[runs["project"].eq(True)].tolist() == ["real", "plain"] and (runs["status"] == "ok").all()


@pytest.mark.slow
def test_what_ended_is_kept_but_not_samples_by_others(here: Path) -> None:
    runs = Path(PROJECT, "runs")
    other = External("Theirs", "digits", "a.npy", "someone")
    cells = table1_cells("smoke", 1, ["plain"], device="cpu", external=[other])
    assert [p.name.split("-")[0] for p in archive(cells, runs, Path("kept"))] == ["noise", "real", "plain"]
    # trained anew, it does not replace the one that tables show; what was measured since on that one comes beside it
    (path,) = runs.glob("plain-*/record.json")
    before, kept = path.read_text(), Path("kept") / path.parent.name
    record = json.loads(before)
    path.write_text(json.dumps(record | {"provenance": record["provenance"] | {"finished": "later"}}))
    assert [p.name.split("-")[0] for p in archive(cells, runs, Path("kept"))] == ["noise", "real"]
    assert json.loads((kept / "record.json").read_text())["provenance"] == record["provenance"]
    path.write_text(before)
    (path.parent / "measured").mkdir()
    (path.parent / "measured/ood-1.json").write_text("{}")
    assert len(archive(cells, runs, Path("kept"))) == 3 and (kept / "measured/ood-1.json").exists()
    path.write_text(json.dumps(record | {"status": "oom"}))
    assert load_cells(runs, cells)[cells[2].run_name].status == "oom"
    assert [p.name.split("-")[0] for p in archive(cells, runs, Path("kept-again"))] == ["noise", "real"]


@pytest.mark.slow
def test_runs_on_a_path_stand_only_beside_the_same_images(here: Path) -> None:
    cells = table1_cells("smoke", 1, ["plain"], dataset="mine.npz", device="cpu")
    own = table1_cells("smoke", 1, ["plain"], device="cpu")
    images = load("digits")
    assert images.labels is not None
    arrays = {"images": images.pixels[:200, 0].numpy(), "labels": images.labels[:200].numpy()}
    np.savez("mine.npz", **arrays)
    content = replace(load("mine.npz"), labels=None).content_hash()
    for cell, like in zip(cells, own, strict=True):  # as if they had been trained on it
        shutil.copytree(RECORDS / like.run_name, RECORDS / cell.run_name)
        path = RECORDS / cell.run_name / "record.json"
        record = json.loads(path.read_text())
        record["name"], record["protocol"]["reference_images"] = cell.run_name, content
        path.write_text(json.dumps(record))
    runs = Path("mine/runs")
    assert archived(cells, runs).keys() == {cell.run_name for cell in cells}
    np.savez("mine.npz", **{**arrays, "images": 255 - arrays["images"]})
    _content.cache_clear()
    assert archived(cells, runs) == {}
    Path("mine.npz").unlink()  # none are here that could be others
    assert archived(cells, runs).keys() == {cell.run_name for cell in cells}
