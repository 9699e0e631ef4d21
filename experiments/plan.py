"""What a sweep would take, as text."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import torch

from clel.data import DataError, ImageSpec, load
from clel.log import duration
from clel.run import Run, choose_device
from experiments.estimate import estimate
from experiments.grid import Cell
from experiments.launch import finished


def describe(cells: Sequence[Cell], runs: Path, workers: int) -> str:
    """The plan as text: a line a row with its runs, how many are finished, and estimates of time and memory."""
    rows = by_row(cells)
    wide = max(20, 2 + max(map(len, rows)))
    lines = [f"{'row':<{wide}}{'runs':>5}{'done':>6}{'iterations':>12}{'time a run':>16}{'MB a run':>10}"]
    total = 0.0
    for row, members in rows.items():
        done = sum(finished(cell, runs) for cell in members)
        run = members[0].run
        line = f"{row:<{wide}}{len(members):>5}{done:>6}"
        if isinstance(run, Run):
            guess = estimate(run, _spec(run.dataset))
            total += guess.seconds * (len(members) - done)
            line += f"{run.train.iterations:>12}{_long(guess.seconds):>16}{guess.memory / 1e6:>10.0f}"
            there = memory_of(choose_device(run.device))
            if guess.memory > there:
                line += f"  DOES NOT FIT: {there / 1e9:.0f} GB are there"
        lines.append(line)
    left = f"{_long(total)} of work on this machine, about {_long(total / workers)} with {workers} at a time"
    note = "estimated from one small training step of a stage and sampling; memory without interpreter and libraries"
    return "\n".join([*lines, "", left, note, f"runs would go to {runs}; nothing was run"])


def _long(seconds: float) -> str:
    return duration(seconds) if seconds < 86_400 else f"{seconds / 3600:,.0f} hours"


def memory_of(device: torch.device) -> int:
    """Bytes of memory of the GPU, or of this machine for a CPU."""
    if device.type == "cuda":
        return torch.cuda.get_device_properties(device).total_memory
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def by_row(cells: Sequence[Cell]) -> dict[str, list[Cell]]:
    """The cells of each row of the table."""
    rows: dict[str, list[Cell]] = {}
    for cell in cells:
        rows.setdefault(cell.row, []).append(cell)
    return rows


def _spec(dataset: str) -> ImageSpec:
    """The data set's spec; where it is not there, that of 32x32 colour images, since a plan must not need the data."""
    try:
        return load(dataset, "train").spec
    except DataError:
        return ImageSpec(3, 32, (0.5, 0.5, 0.5), (0.25, 0.25, 0.25))
