"""Where numbers come from: what counts as changed code."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
import torch

from clel.storage import provenance

ROOT = Path(__file__).parents[3]


def test_changed_code_is_what_numbers_can_hang_on() -> None:
    for path in provenance.CODE:
        assert (ROOT / path.removeprefix(":/")).exists()
    packages = {p.parent.name for p in ROOT.glob("*/__init__.py")} - {"tests", "benchmarks"}
    assert packages <= {path.removeprefix(":/") for path in provenance.CODE}


def test_an_edited_page_is_no_changed_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def git(*arguments: str) -> None:
        subprocess.run(["git", "-C", str(tmp_path), *arguments], check=True, capture_output=True)

    for name in ("clel/storage/a.py", "docs/page.md", "experiments/a/sweep.csv"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_text("1\n")
    git("init")
    git("add", "-A")
    git("-c", "user.name=a", "-c", "user.email=a@b", "commit", "-m", "one")
    monkeypatch.setattr(provenance, "__file__", str(tmp_path / "clel/storage/a.py"))
    for name in ("docs/page.md", "experiments/a/sweep.csv"):
        (tmp_path / name).write_text("2\n")
    assert provenance.provenance(torch.device("cpu"))["git_dirty"] is False
    (tmp_path / "clel/storage/a.py").write_text("2\n")
    assert provenance.provenance(torch.device("cpu"))["git_dirty"] is True
