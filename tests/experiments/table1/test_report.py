"""The report as a whole, what stands above its table, and the README's copy."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest

from clel.config import to_dict
from clel.data.augment import AugmentConfig
from clel.methods.settings import TrainConfig
from experiments.sweep.store import load_records
from experiments.table1.report import _rounds, describe_table, refresh_section, write_report
from tests.experiments.conftest import FakeCell, is_short


def test_report_has_every_file_and_is_reproducible(fake: Any, grid: list, tmp_path: Path) -> None:
    out = tmp_path / "results" / "quick"
    paths = write_report(out, grid, fake.runs_dir, command="make table1 SEEDS=3")
    names = {str(path.relative_to(out)) for path in out.rglob("*") if path.is_file()}
    figures = {
        f"figures/{name}.png"
        for name in ("distance_over_time", "distance_over_gradients", "distance_over_steps", "energy_gap", "samples")
    }
    assert names == {"summary.md", "table1.md", "table1.tex", "table1.csv", "runs.csv"} | figures
    before = {path: path.read_bytes() for path in paths}
    write_report(out, grid, fake.runs_dir, command="make table1 SEEDS=3")
    assert before == {path: path.read_bytes() for path in paths}
    assert len(pd.read_csv(out / "runs.csv")) == len(grid)
    assert (out / "table1.tex").read_text().startswith("% Table 1: ")
    text = (out / "table1.md").read_text()
    for line in (
        "**Table 1:** unconditional generation, data set digits, profile quick.",
        "**Seeds:** 0, 1, 2.",
        "**Command:** `make table1 SEEDS=3`",
        "**Commit:** 0123456789ab. Machine: cpu.",
        "| Method C | 3.00 ± 1.00 (n=3) |",
    ):
        assert line in text, line


def test_the_table_for_reading_is_short(fake: Any, grid: list, tmp_path: Path) -> None:
    """Six columns and four footnotes at most, whatever failed; the numbers are those of the full one."""
    write_report(tmp_path, grid, fake.runs_dir)
    short, full = ((tmp_path / f"{name}.md").read_text().splitlines() for name in ("summary", "table1"))
    assert is_short("\n".join(short), columns=6) and not is_short("\n".join(full))
    for title in ("Method A", "Method C"):
        distance = [
            next(line for line in lines if line.startswith(f"| {title}")).split("|")[2] for lines in (short, full)
        ]
        assert distance[0].split("<")[0] == distance[1].split("<")[0] != ""
    assert any(line.startswith("- ") and "Without a result: " in line for line in short)


def test_report_of_nothing_run_yet(fake: Any, tmp_path: Path) -> None:
    write_report(tmp_path / "out", fake.cells("a", "A", 2), fake.runs_dir)
    text = (tmp_path / "out" / "table1.md").read_text()
    assert "**Command:** `not recorded`" in text
    assert "| A | – (n=0/2)" in text


def test_protocol_names_rows_that_differ(fake: Any) -> None:
    cells = fake.cells("a", "A", 2) + fake.cells("b", "B") + fake.cells("r", "Real")
    protocol = {
        "features": "classifier-v1 (digits)",
        "n_fake": 1000,
        "steps": 40,
        "weights": "averaged",
        "features_accuracy": 0.98123,
    }
    for cell in cells[:3]:
        fake.write(cell, protocol=protocol)
    fake.write(cells[3], trained=False, protocol={**protocol, "n_fake": 450, "steps": None})
    lines = describe_table(cells, load_records(fake.runs_dir, [cell.run_name for cell in cells]))
    protocol_line = "Protocol: features classifier-v1 (digits); accuracy 0.9812; generated images 1000 (Real: 450); "
    assert protocol_line + "sampling steps in all 40; weights averaged." in lines
    assert not any(line.startswith("Warning") for line in lines)


def test_protocol_says_what_each_rows_own_does_to_chains(fake: Any) -> None:
    """Once a row has it: of the others too that there is none; nothing of rows without training."""
    strong = to_dict(AugmentConfig(flip=0.5, jitter=(0.4, 0.4, 0.4, 0.1), style="kornia"))
    cells = [*fake.cells("a", "A"), *fake.cells("b", "B"), *fake.cells("c", "C"), *fake.cells("r", "Real")]
    for cell in cells:
        fake.write(cell, trained=cell.row != "r", protocol={"n_fake": 5})

    def line() -> str:
        runs = load_records(fake.runs_dir, [cell.run_name for cell in cells])
        return next(text for text in describe_table(cells, runs) if text.startswith("Protocol"))

    assert line() == "Protocol: generated images 5."
    paper = {"protocol": {"restart": 0.001, "augmentation": strong}}
    for cell in cells[:2]:
        fake.write(cell, protocol={"n_fake": 5}, evaluations={"fresh": {"folder": "x"}, "paper": paper})
    said = "restarts 0.001, flip 0.5, jitter 0.4 0.4 0.4 0.1, style kornia"
    assert line() == f"Protocol: generated images 5; protocol paper: {said} (C: none)."


def test_mixed_features_are_warned_of(fake: Any) -> None:
    cells = fake.cells("a", "A", 2)
    fake.write(cells[0], protocol={"features": "x", "features_identity": "1"})
    fake.write(cells[1], protocol={"features": "x", "features_identity": "2"})
    lines = describe_table(cells, load_records(fake.runs_dir, [cell.run_name for cell in cells]))
    assert lines[-1] == "Warning: rows differ in identity; their distances must not be compared."


def test_uncommitted_changes_and_several_commits_are_said(fake: Any) -> None:
    cells = fake.cells("a", "A", 2)
    fake.write(cells[0], provenance={"git_sha": "a" * 40, "git_dirty": True, "device": "cpu", "torch": "2.9"})
    fake.write(cells[1], provenance={"git_sha": "b" * 40, "git_dirty": False})
    lines = describe_table(cells, load_records(fake.runs_dir, [cell.run_name for cell in cells]))
    expected = f"Commit: {'a' * 12} with uncommitted changes; {'b' * 12}. Machine: cpu, torch 2.9."
    assert expected in lines
    assert "Command: not recorded" in lines


def test_readme_section(tmp_path: Path) -> None:
    readme, source = tmp_path / "README.md", tmp_path / "table1.md"
    readme.write_text("# Suite\n<!-- table1 begin -->\nold\n<!-- table1 end -->\nafter\n")
    source.write_text("| a |\n")
    assert not refresh_section(readme, source, check=True)
    assert "old" in readme.read_text()
    assert not refresh_section(readme, source)
    assert readme.read_text() == "# Suite\n<!-- table1 begin -->\n| a |\n<!-- table1 end -->\nafter\n"
    assert refresh_section(readme, source, check=True)
    assert refresh_section(readme, source)


@pytest.mark.parametrize("text", ["", "<!-- table1 begin -->", "<!-- table1 end --><!-- table1 begin -->"])
def test_readme_without_markers_is_refused(tmp_path: Path, text: str) -> None:
    readme, source = tmp_path / "README.md", tmp_path / "table1.md"
    readme.write_text(text)
    source.write_text("x")
    with pytest.raises(ValueError, match="table1 begin"):
        refresh_section(readme, source)


@dataclass(frozen=True)
class Timed(FakeCell):
    run: Any = None


def test_equal_time_is_said_with_the_device(fake: Any) -> None:
    cell = Timed("a", "Method A", run=SimpleNamespace(train=TrainConfig(minutes=9.0)))
    fake.write(cell)
    first = describe_table([cell], load_records(fake.runs_dir, [cell.run_name]))[0]
    assert first.endswith("profile quick, every run trained for 9 minutes on cpu.")


@pytest.mark.parametrize(
    ("steps", "rounds", "words"),
    [(30, 6, "after every 5"), (30, 1, "at the end"), (0, 1, "at the end"), (30, 4, "in 4 rounds of these")],
)
def test_rounds_are_parts_of_the_steps(steps: int, rounds: int, words: str) -> None:
    assert _rounds(steps, rounds) == words
