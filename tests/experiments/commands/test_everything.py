"""make all: every artefact once, with what it takes, and one that fails does not keep the others."""

from __future__ import annotations

from pathlib import Path

import pytest
import tyro

from baselines import METHODS, SUBJECT
from clel.methods.ebm import LangevinEBM
from clel.methods.method import Method
from clel.runs.config import Run
from experiments.cli import COMMANDS
from experiments.commands.everything import ARTEFACTS, All, main
from experiments.conditional.command import CONDITIONAL, ConditionalOptions
from experiments.ood.command import Ood, OodOptions
from experiments.sweep.slurm_options import SlurmOptions


class Recorder:
    """Takes commands down; `statuses` by artefact."""

    def __init__(self, statuses: dict[str, int] | None = None) -> None:
        self.orders: dict[str, list[str]] = {}
        self.statuses = statuses or {}

    def __call__(self, order: list[str]) -> int:
        name = order[3]
        self.orders[name] = order[4:]
        return self.statuses.get(name, 0)


def test_each_is_asked_for_what_it_takes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = Recorder({"ood": 1})
    options = All(profile="smoke", seeds=2, dataset="digits", device="cpu", workers=2, out=tmp_path)
    assert main(options, run) == 1
    assert list(run.orders) == list(ARTEFACTS)
    for name, order in run.orders.items():
        parsed = tyro.cli(COMMANDS[name][0], args=order)
        assert (parsed.profile, parsed.device, parsed.out) == ("smoke", "cpu", tmp_path)
        assert name in ("chains", "speed-memory") or parsed.seeds == 2
    assert "digits" not in run.orders["compositional"] and "digits" in run.orders["table1"]
    assert "ood           exit status 1, see above" in capsys.readouterr().out


def test_what_a_profile_or_a_cluster_has_not_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = Recorder()
    slurm = SlurmOptions(partition="gpu", cpus=4)
    assert main(All(profile="evening", cluster="slurm", slurm=slurm, out=tmp_path), run) == 0
    assert list(run.orders) == ["table1", "conditional", "ood", "ablations"]
    assert all("gpu" in order for order in run.orders.values())
    shown = capsys.readouterr().out
    assert "compositional not of the profile evening" in shown and "chains        left out" in shown
    run = Recorder()
    assert main(All(report=True, out=tmp_path), run) == 0
    assert "--report" in run.orders["table1"] and "--report" in run.orders["speed-memory"]


def test_an_interruption_is_of_all(tmp_path: Path) -> None:
    run = Recorder({"conditional": 130})
    assert main(All(out=tmp_path), run) == 130
    assert list(run.orders) == ["table1", "conditional"]


def test_a_method_stands_where_it_offers_what_is_needed() -> None:
    stand = {cell.run.method for cell in Ood().cells_of(OodOptions(profile="smoke")) if isinstance(cell.run, Run)}
    assert stand == {name for name, method in METHODS.items() if method.energy is not Method.energy}
    guided = {c.run.method for c in CONDITIONAL.cells_of(ConditionalOptions()) if isinstance(c.run, Run)}
    assert all(issubclass(METHODS[name], LangevinEBM) for name in guided) and SUBJECT in guided
