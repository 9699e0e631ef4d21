"""Bad input costs nothing: it is refused before anything is written, blocks no folder, and no number is made of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from baselines import METHODS
from clel.commands.cli import main
from clel.config import ConfigError
from clel.methods.settings import TrainConfig
from clel.runs.config import Run, resolve, save_config
from clel.runs.execute import execute
from clel.runs.load import doubts
from clel.runs.record import blank_record, read_record, write_record
from clel.storage import checkpoint
from tests.clel.training.trainer_process import small_config


class Late(ConfigError):
    """What is found out once the feature space is there."""


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Run[Any]:
    """A run that is refused late."""

    def refuse(*_: object) -> None:
        raise Late("late")

    monkeypatch.setattr("clel.runs.execute.measured_on", refuse)
    train = TrainConfig(iterations=9, checkpoint_every=3)
    return replace(resolve(METHODS, "clel", "quick"), config=small_config(), train=train, device="cpu")


def files(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if not path.name.startswith(".lock")}


def save(folder: Path, iteration: int) -> None:
    checkpoint.save(folder / "checkpoints", iteration, {"weights": torch.zeros(1)})


def ends(run: Run[Any], folder: Path, status: str, reason: str | None = None) -> None:
    fields = {"method": run.method, "preset": run.preset, "dataset": run.dataset, "seed": run.seed}
    write_record(folder, blank_record(folder.name, run, **fields) | {"status": status, "reason": reason})


def test_a_network_that_does_not_fit_is_refused_before_anything_is_written(run: Run[Any], tmp_path: Path) -> None:
    network = replace(run.config.network, widths=(4,) * 5)
    wrong = replace(run, config=replace(run.config, network=network))
    with pytest.raises(ConfigError, match="cannot be pooled 4 times"):
        execute(wrong, tmp_path, METHODS)
    assert files(tmp_path) == set()
    save_config(wrong, tmp_path)  # as a launcher does, whose table shall say why
    with pytest.raises(ConfigError, match="pooled"):
        execute(wrong, tmp_path, METHODS)
    record = read_record(tmp_path)
    assert record is not None and record["status"] == "error" and "pooled" in record["reason"]


def test_a_folder_in_which_nothing_was_trained_takes_the_corrected_run(run: Run[Any], tmp_path: Path) -> None:
    folder, other = tmp_path / "run", replace(run, seed=1)
    with pytest.raises(Late):
        execute(run, folder, METHODS)
    assert not folder.exists()
    save_config(run, folder)  # as a launcher does
    with pytest.raises(Late):
        execute(run, folder, METHODS)
    assert files(folder) == {"config.json", "record.json"}
    save(folder, 0)
    with pytest.raises(Late):
        execute(other, folder, METHODS)
    save(folder, 3)
    with pytest.raises(ConfigError, match="seed: 0 -> 1"):
        execute(other, folder, METHODS)


def test_a_folder_that_bears_a_runs_name_stays_its_own(run: Run[Any], tmp_path: Path) -> None:
    save_config(run, tmp_path / run.name)  # it may wait for its job
    with pytest.raises(ConfigError, match="seed: 0 -> 1"):
        execute(replace(run, seed=1), tmp_path / run.name, METHODS)


def test_weights_that_nobody_can_mean_are_not_taken_unasked(run: Run[Any], tmp_path: Path) -> None:
    save_config(run, tmp_path)
    save(tmp_path, 0)
    with pytest.raises(ConfigError, match=r"nothing was trained \(iteration 0 of 9\)"):
        doubts(tmp_path, run)
    save(tmp_path, 3)
    assert "not trained to the end (iteration 3 of 9)" in doubts(tmp_path, run)
    ends(run, tmp_path, "error", "a disk on fire")
    with pytest.raises(ConfigError, match=r"training failed \(iteration 3 of 9; its record says error: a disk"):
        doubts(tmp_path, run)
    ends(run, tmp_path, "timeout", "too often")
    assert "timeout: too often" in doubts(tmp_path, run)
    ends(run, tmp_path, "diverged", "it ran away")
    assert "diverged (it ran away)" in doubts(tmp_path, run)
    ends(run, tmp_path, "error", "measuring failed")
    (tmp_path / "training.json").write_text("{}")
    assert doubts(tmp_path, run) == ""


@pytest.mark.parametrize("command", ["sample", "evaluate"])
def test_the_commands_ask_and_take_a_checkpoint_that_is_named(
    command: str,
    run: Run[Any],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def taken(folder: Path, which: str) -> None:
        raise ConfigError(f"taken: {which}")

    monkeypatch.setattr(f"clel.commands.{command}.checkpoints", taken)
    save_config(run, tmp_path)
    save(tmp_path, 0)
    said = []
    for named in ([], ["--checkpoint", "0"]):
        assert main([command, str(tmp_path), *named]) == 2
        said.append(capsys.readouterr().err)
    assert "nothing was trained" in said[0] and "taken: 0" in said[1]
