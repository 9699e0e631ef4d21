"""Throughput of runs that share a device: real processes, and what tables and plans make of it."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

import pytest
import torch

from experiments.printing.markup import to_markdown
from experiments.speed import side_by_side
from experiments.speed.command import SpeedMemory, command, together
from experiments.speed.job import Job
from experiments.speed.profiles import EFFORTS
from experiments.speed.rows import speed_rows
from experiments.speed.side_by_side import Throughput, gains, side_by_side_grid, throughput

SMOKE = replace(EFFORTS["smoke"], seconds=0.5)
ROWS = speed_rows("smoke", ["plain", "clel"], "cpu", None)


def test_times_one_run_are_by_the_run_alone() -> None:
    found = [Throughput("plain", 1, 10.0), Throughput("plain", 2, 15.0), Throughput("plain", 4, None, "out of memory")]
    lines: list[dict[str, Any]] = [asdict(one) for one in [*found, Throughput("clel", 2, 3.0)]]
    assert gains(lines) == {"plain": {1: 1.0, 2: 1.5}}
    text = to_markdown(side_by_side_grid(ROWS, lines))
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines() if line.startswith("|")][2:]
    assert rows[0] == ["Plain EBM", "1", "10", "1.00", "1.00"]
    # two take a third longer than one, and so do half as much again together
    assert rows[1] == ["Plain EBM", "2", "15", "1.50", "1.33"]
    assert rows[2][1:] == ["4", "–", "–", "–"] and "4 runs: out of memory." in text
    assert rows[3] == ["CLEL", "2", "3", "–", "–"]


def test_a_cpu_has_as_many_runs_as_cores_and_each_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, int, int | None]] = []
    monkeypatch.setattr(side_by_side, "available_cores", lambda: 5)
    monkeypatch.setattr(
        side_by_side,
        "throughput",
        lambda job, n: (asked.append((job.key, n, job.threads)), Throughput(job.key, n, 1.0))[1],
    )
    assert len(together(SMOKE, "cpu", ROWS)) == 6
    assert asked == [(row, n, 1) for row in ("plain", "clel") for n in (1, 2, 4)]
    asked.clear()
    together(SMOKE, "cuda", ROWS[:1])
    assert asked == [("plain", n, None) for n in (1, 2, 4, 8)]


def test_it_is_measured_where_it_is_asked_for() -> None:
    assert not SpeedMemory().side_by_side
    assert command(SpeedMemory(side_by_side=True)) == "make speed-memory SIDE_BY_SIDE=1"


@pytest.mark.slow
def test_processes_begin_together_and_are_counted() -> None:
    job = Job("plain", "cpu", SMOKE, ROWS[0].run, threads=1)
    found = throughput(job, 2)
    assert found.runs == 2 and found.rate is not None and found.rate > 0 and found.reason == ""
    small = replace(ROWS[0].run.config.network, widths=(4,) * 9)
    wrong = replace(ROWS[0].run, config=replace(ROWS[0].run.config, network=small))
    failed = throughput(replace(job, run=wrong), 1)
    assert failed.rate is None and "cannot be pooled" in failed.reason


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
@pytest.mark.gpu
def test_processes_share_a_gpu() -> None:
    found = throughput(Job("plain", "cuda", SMOKE, ROWS[0].run), 2)
    assert found.rate is not None and found.rate > 0
