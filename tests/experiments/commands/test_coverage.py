"""Where the runs of tables on this machine stand: counts, the time left of those at work, why others were lost."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from clel.config import to_dict
from clel.runs.config import save_config
from clel.storage.lock import locked
from experiments.cli import main
from experiments.commands.coverage import tables_coverage
from experiments.sweep.grid import table1_cells
from experiments.sweep.naming import Named, table1_meaning
from tests.experiments.conftest import FakeStore


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """A table that was begun: one run ended, one diverged, one is half trained, the others are missing."""
    table1_meaning(Named(methods="plain,clel", seeds=2), "make table1").claim(tmp_path / "quick-plain-clel-2-seeds")
    store = FakeStore(tmp_path / "runs")
    cells = {(cell.row, cell.seed): cell for cell in table1_cells("quick", 2, ["plain", "clel"])}
    done, lost, half = (cells[key] for key in (("plain", 0), ("plain", 1), ("clel", 0)))
    store.write(done, 1.0, config=to_dict(done.run))  # type: ignore[arg-type]
    store.write(lost, None, config=to_dict(lost.run), status="diverged", reason="E left", metrics={})  # type: ignore[arg-type]
    folder = tmp_path / "runs" / half.run_name
    save_config(half.run, folder)
    lines = [{"kind": "train", "iteration": i, "seconds": i / 2} for i in (100, 200)]
    (folder / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return tmp_path


def test_every_run_is_counted(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder,) = (out / "runs").glob("clel-digits-s0-*")
    with locked(folder):
        (table,) = tables_coverage(out)
        assert table.counts == {"ok": 1, "diverged": 1, "running": 1, "missing": 4} and table.at_work
        assert main(["status", "--out", str(out)]) == 0
    said = capsys.readouterr().out
    assert "quick-plain-clel-2-seeds, table1: 7 runs: 4 missing" in said
    assert "200/900  left 5 min 50 s" in said and "diverged" in said and "E left" in said
    (table,) = tables_coverage(out)
    assert table.counts["unfinished"] == 1 and not table.at_work and "no record yet" in str(table)
    assert main(["status", "--out", str(out), "--every", "60"]) == 0  # nothing is at work: said once


def test_what_this_version_does_not_know_is_left_out(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = out / "quick-plain-clel-2-seeds/table.json"
    tables = json.loads(path.read_text())
    path.write_text(
        json.dumps(
            tables | {"ood": {"artefact": "ood", "unheard": 1}, "chains": {"seeds": 3}, "tune": "x", "conditional": [1]}
        )
    )
    assert [table.kind for table in tables_coverage(out)] == ["table1"]
    assert "ood: not known to this version (unknown key 'unheard'" in capsys.readouterr().err


def test_nothing_was_begun(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", "--out", str(tmp_path)]) == 2
    assert "no table was begun there, and no sweep submitted" in capsys.readouterr().err
    assert main(["status", "--out", str(tmp_path), "--every", "0"]) == 2
