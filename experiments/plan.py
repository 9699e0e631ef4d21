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
from experiments.local import shares, visible_gpus


def describe(cells: Sequence[Cell], runs: Path, workers: int | None = None, device: str = "auto") -> str:
    """The plan as text: a line a row with its runs, how many are finished, and estimates of time and memory.

    Measured with the threads that each worker will have; `workers` and `device` as run_local takes them.
    """
    side_by_side, threads = shares(len(cells), workers, visible_gpus(choose_device(device)))
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        return _describe(cells, runs, side_by_side, threads)
    finally:
        torch.set_num_threads(before)


def _describe(cells: Sequence[Cell], runs: Path, workers: int, threads: int) -> str:
    rows = by_row(cells)
    wide = max(20, 2 + max(map(len, rows), default=0))
    lines = [f"{'row':<{wide}}{'runs':>5}{'done':>6}{'iterations':>12}{'time a run':>20}{'MB a run':>10}"]
    total = 0.0
    for row, members in rows.items():
        done = sum(finished(cell, runs) for cell in members)
        run = members[0].run
        line = f"{row:<{wide}}{len(members):>5}{done:>6}"
        if isinstance(run, Run):
            guess = estimate(run, _spec(run.dataset))
            total += guess.seconds * (len(members) - done)
            line += f"{run.train.iterations:>12}{duration(guess.seconds):>20}{guess.memory / 1e6:>10.0f}"
            there = memory_of(choose_device(run.device))
            if guess.memory > there:
                line += f"  DOES NOT FIT: {there / 1e9:.0f} GB are there"
        lines.append(line)
    left = f"{duration(total)} of work on this machine, about {duration(total / workers)} with {workers} at a time"
    each = f"{threads} thread{'' if threads == 1 else 's'}, as each run will have"
    note = f"estimated from one small training step of a stage and sampling, on {each}; memory without interpreter and "
    note += "libraries"
    return "\n".join([*lines, "", left, note, f"runs would go to {runs}; nothing was run"])


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
