"""The disk space of a run, against what a run of known size writes."""

from __future__ import annotations

from collections import namedtuple
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from baselines import METHODS
from clel.data import load
from clel.runs.config import build
from clel.storage import checkpoint
from clel.training.trainer import Trainer
from experiments.plan import disk as module
from experiments.plan.disk import Disk, disk, in_all
from experiments.sweep.grid import table1_cells


@pytest.mark.parametrize("row", ["plain", "clel"])
def test_checkpoints_are_as_large_as_they_are_written(row: str, tmp_path: Path) -> None:
    (cell,) = (cell for cell in table1_cells("smoke", rows=[row]) if cell.row == row)
    images = load("digits", "train")
    method = build(cell.run, METHODS, images.spec, torch.device("cpu"))
    trainer = Trainer(method, images, cell.run.train, tmp_path, 0)
    trainer.step()  # else Adam has no moments
    trainer.save()
    ((_, path),) = checkpoint.listed(tmp_path / "checkpoints")
    none = replace(cell.run, evaluate=replace(cell.run.evaluate, samples=1, beyond=1.0))
    found = disk(none, images.spec)
    assert found.kept == pytest.approx(cell.run.train.keep * path.stat().st_size, rel=0.1)
    # of each sample its pixels, for every protocol and sampling seed
    more = replace(none.evaluate, samples=1001, sampling_seeds=3, protocols=("clean", "paper"))
    for beyond, drawn in ((1.0, 4), (5.0, 5)):
        wanted = replace(none, evaluate=replace(more, beyond=beyond))
        assert disk(wanted, images.spec).kept - found.kept == 64 * (drawn * 1001 - 1)


def test_what_runs_take_together_is_held_against_what_is_free(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")
    runs = [Disk(10**9, 3 * 10**9), Disk(10**9, 2 * 10**9), Disk(2 * 10**6, 3 * 10**6)]
    for free, full in ((6 * 10**9, ""), (5 * 10**9, ": NOT ENOUGH")):
        monkeypatch.setattr(module.shutil, "disk_usage", lambda path, free=free: usage(0, 0, free))
        said = in_all(runs, 2, tmp_path / "not/there")
        assert said.startswith("disk: 2.0 GB once all have ended, 5.0 GB at most on the way, 2 at a time; ")
        assert said.endswith(f"{free / 1e9:.1f} GB are free there{full}")
