"""What others took of the processor: from the system's count without our own, and into a run's costs."""

from __future__ import annotations

import itertools
import os
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from clel.machine import costs
from clel.machine.costs import Others
from clel.machine.signals import Interrupted
from clel.training import trainer
from clel.training.costs import training_costs
from tests.clel.training.trainer_process import TRAIN, make

QUICK = replace(TRAIN, iterations=3, evaluate_every=0, sample_every=0, log_every=1)


def test_others_are_all_busy_time_without_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Idle time and waiting for disks are nobody's; time of guests is in the user's already."""
    stat, hertz = tmp_path / "stat", os.sysconf("SC_CLK_TCK")
    monkeypatch.setattr(costs, "STAT", stat)
    own = SimpleNamespace(ru_utime=1.0, ru_stime=0.5)
    monkeypatch.setattr(costs.resource, "getrusage", lambda who: own)
    assert Others().taken() is None
    before = {"user": 50, "nice": 0, "system": 7, "idle": 900, "iowait": 80, "irq": 1, "softirq": 2, "steal": 3}
    before |= {"guest": 5, "guest_nice": 6}
    stat.write_text(f"cpu  {' '.join(map(str, before.values()))}\ncpu0 1 2 3\n")
    others = Others()
    assert others.taken() == 0
    after = {name: value + (k + 1) * hertz for k, (name, value) in enumerate(before.items())}
    stat.write_text(f"cpu  {' '.join(map(str, after.values()))}\ncpu0 1 2 3\n")
    own.ru_utime += 4.0
    seconds = sum(k + 1 for k, name in enumerate(before) if name not in ("idle", "iowait", "guest", "guest_nice"))
    assert others.taken() == pytest.approx(seconds - 2 * 4.0)  # of this process, and of its children


def test_a_run_says_how_many_cores_were_busy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two seconds an iteration, and of others one core-second in each before a stop and four after it."""
    cores = iter([1.0, 4.0, 4.0])

    class Fixed(Others):
        def taken(self) -> float | None:
            return next(cores)

    ticks = itertools.count(0.0, 2.0)
    monkeypatch.setattr(trainer, "now", lambda device: next(ticks))
    monkeypatch.setattr(trainer, "Others", Fixed)
    first = make(tmp_path, train=QUICK)

    def stop(*anything: Any) -> None:
        first.save()
        raise Interrupted("stopped")

    monkeypatch.setattr(first, "look", stop)
    with pytest.raises(Interrupted):
        first.run()
    again = make(tmp_path, train=QUICK)
    outcome = again.run()
    assert outcome.busy_cores == pytest.approx((1 + 4 + 4) / 6) and outcome.seconds == 6
    costs = training_costs(again.method, outcome, torch.device("cpu"))
    assert costs["busy_cores"] == 1.5
    costs = training_costs(again.method, replace(outcome, busy_cores=None), torch.device("cpu"))
    assert "busy_cores" not in costs
