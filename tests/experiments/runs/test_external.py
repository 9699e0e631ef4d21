"""Other people's samples as rows of Table 1: the file that lists them, measuring, failing, and what the table says."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from clel.config import ConfigError
from clel.data import load, open_samples
from clel.runs.config import save_config
from clel.runs.record import read_record, stands
from experiments.plan.plan import describe_plan
from experiments.runs import cell as worker
from experiments.runs.external import COLUMNS, External, ExternalRun, load_external
from experiments.sweep import launch
from experiments.sweep.grid import Cell, table1_cells
from experiments.sweep.naming import table_name
from experiments.sweep.store import load_records
from experiments.table1.command import Table1, command
from experiments.table1.report import describe_table as above
from experiments.table1.report import write_report
from experiments.table1.samples import sample_grids
from experiments.table1.table import table1

TEST = load("digits", "test").pixels
HASH = "0" * 64


def listed(path: Path, *rows: str) -> Path:
    path.write_text("\n".join([",".join(COLUMNS), *rows]) + "\n")
    return path


def cell(samples: Path | str, title: str = "Theirs & co", sha256: str = "") -> Cell:
    other = External(title, "digits", str(samples), "Someone 2020", sha256, "jem")
    return table1_cells("smoke", rows=["clel"], device="cpu", external=[other])[-1]


@pytest.fixture(autouse=True)
def _cache(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLEL_CACHE", str(cache))


@pytest.fixture
def samples(tmp_path: Path) -> Path:
    np.save(tmp_path / "theirs.npy", TEST[:150, 0].numpy())
    return tmp_path / "theirs.npy"


def measure(one: Cell, runs: Path) -> dict[str, Any]:
    """As a worker process does."""
    folder = runs / one.run_name
    save_config(one.run, folder)
    assert worker.main(folder) == 0
    record = read_record(folder)
    assert record is not None
    return record


# the file


def test_the_file_that_ships_has_no_row_yet() -> None:
    assert load_external() == ()


def test_rows_of_the_file(tmp_path: Path) -> None:
    path = listed(
        tmp_path / "e.csv",
        f'JEM,cifar10,jem.npz,"Grathwohl et al., ICLR 2020",{HASH.replace("0", "A")},jem',
        " X ,digits,x.zip,https://example.org,,",
    )
    first, second = load_external(path)
    assert first == External("JEM", "cifar10", "jem.npz", "Grathwohl et al., ICLR 2020", "a" * 64, "jem")
    assert second == External("X", "digits", "x.zip", "https://example.org", "", None)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (["a,digits,a.npy,b"], "line 2: fewer cells than columns"),
        (["a,digits,a.npy,b,c,,d"], "line 2: more cells than columns"),
        (["a,digits,a.npy,b,,", "a,digits,,b,,"], "line 3: column 'samples' is empty"),
        (["a,digits,a.npy,,,"], "line 2: column 'source' is empty"),
        (["a,digits,a.npy,b,12,"], "sha256 is '12'; expected 64 hex digits"),
        (["a,digits,a.npy,b,,jemm"], "published is 'jemm'; did you mean 'jem'"),
        (["a,digits,a.npy,b,,", "A,digits,c.npy,b,,"], "line 3: a second row 'A' of digits"),
    ],
)
def test_a_file_with_faults_names_the_line(tmp_path: Path, rows: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_external(listed(tmp_path / "e.csv", *rows))


def test_other_columns_or_no_file(tmp_path: Path) -> None:
    (tmp_path / "e.csv").write_text("title,samples\n")
    with pytest.raises(ConfigError, match="columns are"):
        load_external(tmp_path / "e.csv")
    with pytest.raises(ConfigError, match=r"none\.csv: no such file"):
        load_external(tmp_path / "none.csv")


# the grid


def test_a_row_for_each_of_the_data_set_and_its_name_has_all_that_it_depends_on() -> None:
    one = External("A/B c", "digits", "a.npy", "here")
    others = [one, External("X", "cifar10", "a.npy", "here")]
    cells = table1_cells("smoke", rows=["clel"], external=others)
    assert [c.row for c in cells] == ["noise", "real", "clel", "external-a-b-c"]
    assert cells[-1].title == "A/B c" and cells[-1].run_name.startswith("external-a-b-c-digits-s0-")
    changes: list[dict[str, str]] = [{}, {"samples": "b.npy"}, {"sha256": HASH}, {"source": "there"}]
    names = [table1_cells("smoke", external=[replace(one, **change)])[-1].run_name for change in changes]
    names.append(table1_cells("smoke", external=[one], evaluate={"features": "inception-clean"})[-1].run_name)
    assert len(set(names)) == len(names)
    assert table1_cells("smoke", external=[one], device="cpu")[-1].run_name == names[0]


def test_it_costs_nothing_to_train_and_is_planned(tmp_path: Path) -> None:
    one = cell("a.npy")
    assert launch.cost(one) == 0
    (line,) = [line for line in describe_plan([one], tmp_path, 1).splitlines() if line.startswith("external")]
    assert line.split() == ["external-theirs-co", "1", "0"]


# measuring


def test_measured_as_all_rows_are(tmp_path: Path, samples: Path, cache: Path) -> None:
    one = cell(samples, sha256=open_samples(samples).content_hash())
    record = measure(one, tmp_path / "runs")
    assert record["status"] == "ok" and launch.has_result(one, tmp_path / "runs")
    assert (record["method"], record["preset"], record["training"]) == ("external-theirs-co", "external", {})
    protocol = record["protocol"]
    assert (protocol["n_fake"], protocol["samples_from"]) == (150, "Someone 2020")
    assert protocol["samples_conversions"] == ["no channel axis: grey"] and protocol["notes"] == []
    # the held-out row, of the same images, by the same code
    real = table1_cells("smoke", device="cpu", evaluate={"bootstrap": 0})[1]
    assert isinstance(one.run, ExternalRun)
    torch.save(TEST, tmp_path / "all.pt")
    run = replace(
        one.run, samples=str(tmp_path / "all.pt"), sha256="", evaluate=replace(real.run.evaluate, samples=450)
    )
    alike = replace(real.run, evaluate=run.evaluate)  # type: ignore[type-var]
    a, b = (measure(replace(one, run=r), tmp_path / "runs") for r in (run, alike))
    assert a["metrics"] == b["metrics"] and a["protocol"]["samples_images"] == b["protocol"]["samples_images"]


def test_a_look_at_the_samples_stays(tmp_path: Path, samples: Path) -> None:
    one = cell(samples)
    measure(one, tmp_path)
    runs = load_records(tmp_path, [one.run_name])
    place = runs[one.run_name].samples
    assert place is not None
    assert np.array_equal(np.load(tmp_path / one.run_name / place), TEST[:64].numpy())
    figure = sample_grids([one], runs)
    assert figure.axes[0].get_title().startswith("Theirs & co\ndistance ") and len(figure.axes[0].images) == 1


@pytest.mark.parametrize(
    ("name", "sha256", "reason"),
    [
        ("none.npy", "", "none.npy: no such file"),
        ("theirs.npy", HASH, "not the images that were declared"),
        ("few.npy", "", "50 images are too few for a Fréchet distance in 64 dimensions: take more than 64"),
        ("colour.npy", "", "colour 8x8 images; classifier-v1 (digits) takes grey 8x8 ones"),
        ("damaged.npy", "", "cannot be read"),
    ],
)
def test_bad_samples_leave_a_dash_and_the_reason(
    name: str, sha256: str, reason: str, tmp_path: Path, samples: Path
) -> None:
    np.save(tmp_path / "few.npy", TEST[:50].numpy())
    np.save(tmp_path / "colour.npy", TEST[:80].expand(-1, 3, -1, -1).numpy())
    (tmp_path / "damaged.npy").write_bytes(samples.read_bytes()[:500])
    good, bad = cell(samples, "Good"), cell(tmp_path / name, "Bad", sha256)
    assert measure(good, tmp_path / "runs")["status"] == "ok"
    record = measure(bad, tmp_path / "runs")
    assert record["status"] == "error" and reason in record["reason"]
    assert not launch.has_result(bad, tmp_path / "runs")
    grid = table1([good, bad], load_records(tmp_path / "runs", [good.run_name, bad.run_name])).grid
    assert [row[1].text for row in grid.rows][1] == "– (n=0/1)" and grid.rows[0][1].text.endswith("(n=1)")
    footnote = grid.footnotes[grid.rows[1][1].marks[0]]
    assert footnote.startswith("Bad: seed 0: error (") and " ".join(reason.split()[:3]) in footnote


def test_an_error_of_another_kind_is_recorded_too(
    tmp_path: Path, samples: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*arguments: Any, **more: Any) -> None:
        raise RuntimeError("out of something")

    monkeypatch.setattr("experiments.runs.references.score_samples", broken)
    one = cell(samples)
    save_config(one.run, tmp_path / one.run_name)
    assert worker.main(tmp_path / one.run_name) == worker.FAILED
    record = read_record(tmp_path / one.run_name)
    assert record is not None and record["reason"] == "RuntimeError: out of something"


def test_changed_samples_are_measured_again_and_lost_ones_are_not(tmp_path: Path, samples: Path) -> None:
    one = cell(samples)
    before = measure(one, tmp_path / "runs")
    launch.prepare([one], tmp_path / "runs", "cpu", tmp_path / "table")
    assert stands(read_record(tmp_path / "runs" / one.run_name), one.run.evaluate)
    content = samples.read_bytes()
    samples.unlink()
    launch.prepare([one], tmp_path / "runs", "cpu", tmp_path / "table")
    assert launch.has_result(one, tmp_path / "runs")
    samples.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    launch.prepare([one], tmp_path / "runs", "cpu", tmp_path / "table")
    assert not launch.has_result(one, tmp_path / "runs")
    assert measure(one, tmp_path / "runs")["protocol"]["samples_images"] != before["protocol"]["samples_images"]


# the table


def test_the_row_says_whose_samples_how_many_and_what_was_done(fake: Any) -> None:
    (theirs,), (a, b) = fake.cells("external-x", "Theirs", published="jem"), fake.cells("a", "A", 2)
    protocol = {"features": "classifier-v1 (digits)", "n_fake": 1000}
    fake.write(a, protocol=protocol)
    fake.write(b, protocol=protocol)
    about = {"samples_from": "Someone 2020, https://example.org", "samples_conversions": ["one"], "notes": ["two"]}
    fake.write(theirs, trained=False, protocol=protocol | about | {"n_fake": 50_000, "chains": "as they were"})
    cells = [a, b, theirs]
    runs = load_records(fake.runs_dir, [c.run_name for c in cells])
    grid = table1(cells, runs).grid
    assert [row[0].text for row in grid.rows] == ["A", "Theirs"] and grid.rows[0][0].marks == ()
    notes = [grid.footnotes[mark] for mark in grid.rows[1][0].marks]
    assert notes[:2] == [
        "Theirs: samples by others, from Someone 2020, https://example.org; measured here.",
        "Theirs: one; two.",
    ]
    assert notes[2].startswith("Theirs: measured on 50,000 images, most others on 1,000.") and "biased" in notes[2]
    assert grid.rows[1][-3].text == "38.40"
    (line,) = [line for line in above(cells, runs) if line.startswith("Protocol")]
    assert "generated images 1000 (Theirs: 50000)" in line


def test_a_command_with_a_file_of_its_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from experiments.cli import main

    path = listed(tmp_path / "e.csv", "Theirs,digits,a.npy,b,,")
    asked = Table1(profile="smoke", methods="clel", external=path)
    cells = table1_cells("smoke", 1, ["clel"], external=load_external(path))
    folder = table_name(asked)
    assert folder.startswith("smoke-clel-e.csv-")
    write_report(tmp_path / folder, cells, tmp_path / "runs", command(asked))
    text = (tmp_path / folder / "table1.md").read_text()
    assert "EXTERNAL=" in text and "Theirs" in text
    options = ["table1", "--profile", "smoke", "--out", str(tmp_path / "out"), "--device", "cpu", "--report"]
    assert main([*options, "--external", str(path)]) == 2
    assert "no run of this table has a result" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    assert main([*options, "--external", str(tmp_path / "none.csv")]) == 2
    assert "none.csv: no such file" in capsys.readouterr().err


def test_a_title_of_the_tables_own_rows_is_refused(tmp_path: Path) -> None:
    path = listed(tmp_path / "e.csv", "CLEL,digits,a.npy,b,,")
    with pytest.raises(ConfigError, match="this table has a row of that title"):
        table1_cells("smoke", external=load_external(path))
