"""Run a grid's cells on this machine: workers side by side, finished cells skipped, failures kept apart."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import torch

from clel.config import require
from clel.machine.signals import child_environment, held_back
from clel.methods.settings import TrainConfig
from clel.runs.config import choose_device, read_config, save_config
from clel.runs.record import read_record
from clel.storage.atomic import room_in
from clel.storage.log import counted, duration, read_log
from experiments.runs.cell import BUSY
from experiments.sweep.grid import Cell
from experiments.sweep.launch import cost, elsewhere, has_result, let_go, refuse_to_wait

SCARCE = 1_000_000
"""Bytes of room below which a failure is put down to a full disk too."""


@dataclass
class Worker:
    """A process at work on a cell."""

    cell: Cell
    process: subprocess.Popen[bytes]
    started: float
    began_at: int


def run_local(
    cells: Sequence[Cell],
    runs: Path,
    workers: int | None = None,
    device: str = "auto",
    runs_per_gpu: int | None = None,
) -> int:
    """Execute every cell that has no standing record; returns the number of workers that failed.

    As many workers as cores (`runs_per_gpu` for each GPU, on a machine with them), each with its share of the cores as
    threads: on networks this small, single-threaded runs side by side do more than one run with all cores.

    Raises:
        Busy: other processes have some of them; the others are done.
        KeyboardInterrupt: on Ctrl-C or SIGTERM, once every worker saved its state and left.
    """
    pending = sorted((c for c in cells if not has_result(c, runs)), key=cost, reverse=True)
    skipped = len(cells) - len(pending)
    if skipped:
        print(f"finished already: {skipped} of {counted(len(cells), 'run')}", file=sys.stderr)
    if not pending:
        return 0
    workers, gpus = worker_places(choose_device(device), workers, runs_per_gpu)
    # by the whole grid, not by what is left of it: a rerun's sums keep their order
    workers, threads = shares(len(cells), workers, gpus)
    slots: list[Worker | None] = [None] * workers
    failures, done, shown = 0, 0, 0.0
    left: list[Cell] = []
    tried: set[str] = set()

    def stop(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt(signal.Signals(number).name)

    previous = signal.signal(signal.SIGTERM, stop)
    try:
        while pending or any(slots) or (pending := let_go(left, tried, runs)):
            for place, worker in enumerate(slots):
                if worker is not None and worker.process.poll() is not None:
                    slots[place] = None
                    if worker.process.returncode == BUSY:
                        elsewhere(worker.cell, runs)  # says by whom
                        left.append(worker.cell)  # looked at again at the end
                    else:
                        done += 1
                        failures += _ended(worker, runs)
                if slots[place] is None and pending:
                    cell = pending.pop(0)
                    if has_result(cell, runs):  # by another process
                        done += 1
                    elif elsewhere(cell, runs):
                        left.append(cell)
                    else:
                        slots[place] = _start(cell, runs, threads, gpus[place % len(gpus)] if gpus else None)
            if time.monotonic() - shown > (1 if sys.stderr.isatty() else 10):
                shown = time.monotonic()
                _show([w for w in slots if w is not None], done, len(pending), runs)
            time.sleep(0.1)
    except KeyboardInterrupt:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # a second one would not wait for them
        _stop([w for w in slots if w is not None])
        raise
    finally:
        signal.signal(signal.SIGTERM, previous)
    refuse_to_wait(left, cells, runs)
    return failures


def shares(cells: int, workers: int | None, gpus: Sequence[str]) -> tuple[int, int]:
    """How many of so many cells run side by side, and the threads of each; `workers` is what was asked for."""
    side_by_side = max(1, min(workers or len(gpus) or available_cores(), cells))
    return side_by_side, max(1, available_cores() // side_by_side)


def worker_places(device: torch.device, workers: int | None, runs_per_gpu: int | None) -> tuple[int | None, list[str]]:
    """The workers that were asked for, and the GPU of each place that one can have, each GPU `runs_per_gpu` times.

    Raises:
        ConfigError: there is no GPU to share.
    """
    if runs_per_gpu is None:
        return workers, visible_gpus(device)
    require(runs_per_gpu >= 1, f"RUNS_PER_GPU is {runs_per_gpu}; expected at least 1")
    require(device.type == "cuda", f"RUNS_PER_GPU: the device is {device}; WORKERS says how many runs share its cores")
    if device.index is not None:
        return workers or runs_per_gpu, []
    return workers, visible_gpus(device) * runs_per_gpu


def visible_gpus(device: torch.device) -> list[str]:
    """The GPUs to share out, as CUDA_VISIBLE_DEVICES names them; none on a CPU, or where the device names its GPU."""
    if device.type != "cuda" or device.index is not None:
        return []
    mask = os.environ.get("CUDA_VISIBLE_DEVICES")
    return mask.split(",") if mask else [str(number) for number in range(torch.cuda.device_count())]


def available_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _start(cell: Cell, runs: Path, threads: int, gpu: str | None) -> Worker:
    folder = runs / cell.run_name
    save_config(cell.run, folder)
    environment = {**child_environment(), "OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}
    if gpu is not None:
        environment["CUDA_VISIBLE_DEVICES"] = gpu
    with held_back(), open(folder / "output.log", "ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "experiments.runs.cell", str(folder)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environment,
            start_new_session=True,  # Ctrl-C reaches this process alone, which hands it on
        )
    return Worker(cell, process, time.monotonic(), _iteration(folder))


def _ended(worker: Worker, runs: Path) -> int:
    folder = runs / worker.cell.run_name
    record = read_record(folder)
    status = record["status"] if record else f"no record (exit status {worker.process.returncode})"
    print(f"{worker.cell.run_name}: {status}", file=sys.stderr)
    if worker.process.returncode == 0:
        return 0
    lines = (folder / "output.log").read_text(errors="replace").splitlines()
    print("\n".join(f"    {line}" for line in lines[-5:]), file=sys.stderr)
    if room_in(folder) < SCARCE:  # then its own words may be lost too
        said = "the disk is full: its last checkpoint stands; make room, and the same command goes on from there"
        print(f"    {folder}: {said}", file=sys.stderr)
    return 1


def _iteration(folder: Path) -> int:
    return max((line["iteration"] for line in read_log(folder) if line["kind"] == "train"), default=0)


def _iterations(folder: Path, train: TrainConfig) -> int:
    """Iterations that the run trains for; 0 where its minutes were not measured yet."""
    if not train.minutes:
        return train.iterations
    return int(read_config(folder)["train"]["measured_iterations"])


def _show(workers: Sequence[Worker], done: int, waiting: int, runs: Path) -> None:
    parts = []
    for worker in workers:
        train = getattr(worker.cell.run, "train", None)
        text = worker.cell.run_name.rsplit("-", 1)[0]
        if train is not None:
            iteration = _iteration(runs / worker.cell.run_name)
            length = _iterations(runs / worker.cell.run_name, train)
            text += f" {iteration}/{length or '?'}"
            gained = iteration - worker.began_at
            if gained > 0 and length:
                left = (length - iteration) * (time.monotonic() - worker.started) / gained
                text += f" left {duration(left)}"
        parts.append(text)
    line = f"runs {done}/{done + len(workers) + waiting} done | " + " | ".join(parts)
    print(f"\r\033[K{line}" if sys.stderr.isatty() else line, end="" if sys.stderr.isatty() else "\n", file=sys.stderr)
    sys.stderr.flush()


def _stop(workers: Sequence[Worker]) -> None:
    print("\nstopping: each run saves its state and leaves", file=sys.stderr)
    for worker in workers:
        worker.process.terminate()
    for worker in workers:
        worker.process.wait()
