"""What a sweep would take, as text."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import torch

from clel.data import DataError, ImageSpec, load
from clel.runs.config import Run, choose_device
from clel.storage.log import counted, duration
from experiments.plan.disk import disk, in_all
from experiments.speed.records import NAME, read_records
from experiments.speed.side_by_side import gains
from experiments.sweep.estimate import estimate
from experiments.sweep.grid import Cell
from experiments.sweep.launch import has_result
from experiments.sweep.local import shares, worker_places
from experiments.sweep.store import by_row


def describe_plan(
    cells: Sequence[Cell],
    runs: Path,
    workers: int | None = None,
    device: str = "auto",
    runs_per_gpu: int | None = None,
) -> str:
    """The plan as text: a line a row with its runs, how many are finished, and estimates of time, memory and disk.

    Measured with the threads that each worker will have; `workers`, `device`, `runs_per_gpu` as run_local takes them.
    """
    workers, gpus = worker_places(choose_device(device), workers, runs_per_gpu)
    side_by_side, threads = shares(len(cells), workers, gpus)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        return _describe(cells, runs, side_by_side, threads, runs_per_gpu or 1)
    finally:
        torch.set_num_threads(before)


def _describe(cells: Sequence[Cell], runs: Path, workers: int, threads: int, runs_per_gpu: int) -> str:
    rows = by_row(cells)
    wide = max(20, 2 + max(map(len, rows), default=0))
    lines = [
        f"{'row':<{wide}}{'runs':>5}{'done':>6}{'iterations':>12}{'time a run':>20}{'MB a run':>10}{'MB on disk':>12}"
    ]
    total, written = 0.0, []
    specs = {dataset: spec_or_fault(dataset) for dataset in dict.fromkeys(cell.dataset for cell in cells)}
    faults = [fault for _, fault in specs.values() if fault]
    slower, known = slowed(runs_per_gpu, runs.parent, cells[0].profile if cells else "")
    for row, members in rows.items():
        done = sum(has_result(cell, runs) for cell in members)
        run = members[0].run
        line = f"{row:<{wide}}{len(members):>5}{done:>6}"
        if isinstance(run, Run):
            spec, _ = specs[run.dataset]
            guess, space = estimate(run, spec), disk(run, spec)
            iterations, seconds = guess.iterations, guess.seconds * slower
            if run.train.minutes:  # beside others a run does less in them
                iterations, seconds = round(iterations / slower), seconds - 60 * run.train.minutes * (slower - 1)
            total += seconds * (len(members) - done)
            written += [space] * (len(members) - done)
            line += f"{iterations:>12}{duration(seconds):>20}{guess.memory / 1e6:>10.0f}{space.kept / 1e6:>12.0f}"
            there = memory_of(choose_device(run.device))
            if guess.memory * runs_per_gpu > there:
                line += f"  DOES NOT FIT: {there / 1e9:.0f} GB are there"
        lines.append(line)
    left = f"{duration(total)} of work on this machine, about {duration(total / workers)} with {workers} at a time"
    left += known
    each = f"{counted(threads, 'thread')}, as each run will have"
    note = f"estimated from one small training step of a stage and sampling, on {each}; memory without interpreter and "
    note += "libraries"
    room = [in_all(written, workers, runs)] if written else []
    return "\n".join([*lines, "", left, note, *room, *faults, f"runs would go to {runs}; nothing was run"])


def slowed(runs_per_gpu: int, out: Path, profile: str) -> tuple[float, str]:
    """Times as long as alone that a run takes beside others on its GPU, and where that is known from.

    By make speed-memory SIDE_BY_SIDE=1, on a GPU of this name, a mean over its methods; where it was not measured, as
    if together they did no more than one.
    """
    if runs_per_gpu == 1:
        return 1.0, ""
    name = torch.cuda.get_device_properties(0).name if torch.cuda.is_available() else None
    for path in sorted(out.glob(f"{profile}*/{NAME}")):
        records = read_records(path.parent)
        gained = [g[runs_per_gpu] for g in gains(records.get("side_by_side", [])).values() if runs_per_gpu in g]
        if gained and records["machine"].get("gpu") == name:
            gain = sum(gained) / len(gained)
            return (
                runs_per_gpu / gain,
                f"; {runs_per_gpu} on a GPU do {gain:.2f} times what one does ({path.parent.name})",
            )
    said = f"; {runs_per_gpu} on a GPU are taken to do no more than one: make speed-memory SIDE_BY_SIDE=1 measures it"
    return float(runs_per_gpu), said


def memory_of(device: torch.device) -> int:
    """Bytes of memory of the GPU, or of this machine for a CPU."""
    if device.type == "cuda":
        return torch.cuda.get_device_properties(device).total_memory
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def spec_or_fault(dataset: str) -> tuple[ImageSpec, str]:
    """The data set's spec and ""; where it cannot be read, that of 32x32 colour images, and a line that says so.

    A plan must not need the data.
    """
    try:
        return load(dataset, "train").spec, ""
    except DataError as error:
        other = ImageSpec(3, 32, (0.5, 0.5, 0.5), (0.25, 0.25, 0.25))
        return other, f"MISSING: {error}; planned as images in colour of 32x32"
