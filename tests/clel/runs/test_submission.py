"""A finished run as one file: what it must say, and files that are refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from clel.commands.cli import main
from clel.config import ConfigError
from clel.runs.submission import read_submission, submission_of, write_submission
from tests.experiments.conftest import FakeCell, FakeStore

CELL = FakeCell("plain", "Plain EBM")


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A finished run with samples."""
    store = FakeStore(tmp_path / "runs")
    store.samples(CELL)
    return store.write(CELL, 1.5)


def test_it_is_read_back_as_it_was_written(run: Path, tmp_path: Path) -> None:
    made = submission_of(run, "My EBM/2", "A. Author & B. <Author>", "https://example.org/x")
    path = write_submission(made, tmp_path / "community")
    assert path.name == f"my-ebm-2-digits-{made.samples[:8]}.json" and read_submission(path) == made
    assert made.record["metrics"]["fid_fresh"] == 1.5 and "profile" not in made.record


def test_the_command(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "community"
    order = ["submit", str(run), "--title", "Mine", "--authors", "Me", "--out", str(out)]
    assert main(order) == 0 and len(list(out.iterdir())) == 1
    assert "docs/guides/submitting.md" in capsys.readouterr().out
    assert main([*order, "--url", "javascript:alert(1)"]) == 2
    assert "url is 'javascript:alert(1)'; expected https://" in capsys.readouterr().err
    assert main(["submit", str(tmp_path), "--title", "Mine", "--authors", "Me"]) == 2
    assert "no record of a run" in capsys.readouterr().err


def test_runs_that_make_no_row(run: Path) -> None:
    with pytest.raises(ConfigError, match="must say something"):
        submission_of(run, " ", "Me")
    FakeStore(run.parent).write(CELL, None, status="diverged", reason="E", metrics={})
    with pytest.raises(ConfigError, match="ended as diverged; only ok makes a row"):
        submission_of(run, "Mine", "Me")
    FakeStore(run.parent).write(CELL, 1.0, evaluations={})
    with pytest.raises(ConfigError, match="names no samples; clel evaluate"):
        submission_of(run, "Mine", "Me")


def test_other_samples_than_were_measured(run: Path) -> None:
    record = json.loads((run / "record.json").read_text())
    record["protocol"]["samples_images"] = submission_of(run, "Mine", "Me").samples
    (run / "record.json").write_text(json.dumps(record))
    assert submission_of(run, "Mine", "Me").samples
    np.save(run / "evaluations/clean/samples.npy", np.zeros((64, 1, 8, 8), np.uint8))
    with pytest.raises(ConfigError, match="not the images that were measured"):
        submission_of(run, "Mine", "Me")
    record["protocol"] |= {"samples_images": None, "n_fake": 65}
    (run / "record.json").write_text(json.dumps(record))
    with pytest.raises(ConfigError, match="64 here, 65 there"):
        submission_of(run, "Mine", "Me")
    (run / "evaluations/clean/samples.npy").unlink()
    with pytest.raises(ConfigError, match="not there; clel evaluate"):
        submission_of(run, "Mine", "Me")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema": 2}, "schema is 2; this version reads 1"),
        ({"titel": "x"}, "unknown key 'titel'; did you mean 'title'"),
        ({"authors": 3}, "authors is 3"),
        ({"record": {}}, "record: schema None"),
        ({"url": "ftp://x"}, "expected https://"),
    ],
)
def test_damaged_files_are_told(change: dict[str, object], message: str, run: Path, tmp_path: Path) -> None:
    path = write_submission(submission_of(run, "Mine", "Me"), tmp_path)
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(ConfigError, match=message) as error:
        read_submission(path)
    assert str(path) in str(error.value)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "\x00", "[" * 10_000])
def test_what_is_no_submission(text: str, tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(ConfigError, match=r"x\.json"):
        read_submission(tmp_path / "x.json")
