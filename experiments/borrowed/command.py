"""python -m experiments gpu-natural: a borrowed card for minutes; and, later, the table of what it came to."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType

import torch

from clel.config import ConfigError, require
from clel.data import load
from clel.machine.signals import child_environment, held_back
from clel.runs.config import Run, choose_device, save_config, slug
from clel.storage.atomic import refuse_unwritable_folder
from clel.storage.log import duration
from clel.storage.provenance import device_name, utc_now
from experiments.borrowed.pack import NAME, bytes_in, pack
from experiments.borrowed.report import measure_pack
from experiments.reading.paths import folder_part
from experiments.sweep.grid import Cell, table1_cells
from experiments.sweep.local import available_cores
from experiments.sweep.naming import OUT

ROWS = ("igebm", "plain", "clel")
PACKS = "gpu-natural"
"""Folder of the packs, in OUT."""
SAMPLES = 10_000
PACKING = 0.04
"""Of the time in all, what is left for the pack; a process that is asked to leave has half of it."""


@dataclass(frozen=True)
class GpuNatural:
    """CLEL, the plain EBM and IGEBM side by side on one card, each trained for the same minutes and sampled.

    What they came to is packed into a folder below OUT/gpu-natural, whatever happens; --report measures the last one,
    which a machine without a GPU does as well, and makes OUT/<profile>-<device>.
    """

    minutes: float = 8.0
    """Minutes of training of each method, all at the same time."""
    budget: float | None = None
    """Minutes after which all has ended, packing included; one and a half times `minutes` if not given."""
    profile: str = "small"
    """small: CIFAR-10 on a GPU. smoke: digits, to see that it works."""
    dataset: str | None = None
    """Data set: a name or a path. The profile's own if not given."""
    samples: int | None = None
    """Fresh chains of each, 10,000 if not given (fewer for smoke); fewer are drawn where the time does not suffice."""
    megabytes: float = 60.0
    """Size of the pack at most, in 1,000,000 bytes."""
    device: str | None = None
    """The card; cuda if not given, for smoke auto."""
    features: str | None = None
    """For --report: the feature space that samples are measured in; the suite's default if not given."""
    out: Path = OUT
    """Folder for runs/, gpu-natural/ and the table."""
    report: bool = False
    """Measure what was packed, and make the table and its figures."""


def main(options: GpuNatural) -> int:
    """Exit status: 0 all done, 1 a run was cut short or failed (the pack has what there is)."""
    require(options.minutes > 0, f"MINUTES is {options.minutes}; expected more than 0")
    if options.report:
        return measure_pack(options.out, pack_of(options), options.dataset, options.features)
    budget = 1.5 * options.minutes if options.budget is None else options.budget
    require(budget > options.minutes, f"BUDGET is {budget:g} minutes; expected more than MINUTES, {options.minutes:g}")
    began, device = time.time(), device_of(options)
    cells = cells_of(options, str(device))
    load(cells[0].dataset, "train")  # or an error, before there is anything
    refuse_unwritable_folder(options.out / PACKS, round(options.megabytes * 1e6))
    runs, folder = options.out / "runs", options.out / PACKS / pack_name(options, device_name(device))
    packing = PACKING * 60 * budget
    about = {"profile": options.profile, "dataset": cells[0].dataset, "minutes": options.minutes, "budget": budget}
    about |= {"device": device_name(device), "command": command(options), "rows": [cell.row for cell in cells]}
    statuses: list[int] = []
    try:
        statuses = carried_out(cells, runs, began + 60 * budget - packing, packing / 2)
    finally:
        places = [runs / cell.run_name for cell in cells]
        counts = pack(folder, places, about | {"made": utc_now()}, round(options.megabytes * 1e6))
        size = bytes_in(folder) / 1e6
        print(f"{folder}: {size:.1f} MB, after {duration(time.time() - began)} of {budget:g} minutes")
        for name, n in counts.items():
            print(f"  {name}: {n} samples")
    return 0 if not any(statuses) else 1


def pack_name(options: GpuNatural, device: str) -> str:
    """The pack's folder: another one for whatever else was asked for."""
    parts = [options.profile, slug(device), f"{options.minutes:g}-minutes"]
    return "-".join(parts + ([folder_part(options.dataset)] if options.dataset else []))


def device_of(options: GpuNatural) -> torch.device:
    """The card; raises ConfigError where a profile that is none to try out would run on a CPU unasked."""
    return choose_device(options.device or ("auto" if options.profile == "smoke" else "cuda"))


def cells_of(options: GpuNatural, device: str) -> list[Cell]:
    """The three rows, trained for the minutes, without anything that is measured on the way."""
    asked = {"rounds": 1, "protocols": ("clean",), "beyond": 1.0}
    if options.samples is not None or options.profile != "smoke":
        asked["samples"] = options.samples or SAMPLES
    cells = table1_cells(
        options.profile, 1, ROWS, options.dataset, device, evaluate=asked, minutes=options.minutes, rates=False
    )
    found = []
    for cell in cells:
        if isinstance(cell.run, Run):
            train = replace(cell.run.train, evaluate_every=0, sample_every=0)
            found.append(replace(cell, run=replace(cell.run, train=train)))
    return found


def carried_out(cells: Sequence[Cell], runs: Path, until: float, grace: float) -> list[int]:
    """Let every run train and sample in a process of its own, all at once, until that time; their exit statuses.

    Raises:
        KeyboardInterrupt: on Ctrl-C or SIGTERM, once every process has left, for which it has `grace` seconds.
    """
    threads = str(max(1, available_cores() // len(cells)))
    environment = {**child_environment(), "OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads}
    processes: list[subprocess.Popen[bytes]] = []
    shown = 0.0

    def stop(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt(signal.Signals(number).name)

    previous = signal.signal(signal.SIGTERM, stop)
    try:
        for cell in cells:
            save_config(cell.run, runs / cell.run_name)
            processes.append(start(runs / cell.run_name, until, environment))
        while any(process.poll() is None for process in processes) and time.time() < until:
            if time.time() - shown > 10:
                shown = time.time()
                print(f"{said(cells, runs)} | left {duration(until - shown)}", file=sys.stderr, flush=True)
            time.sleep(0.1)
    finally:
        for process in processes:
            process.terminate()
        over = time.monotonic() + grace
        for process in processes:
            try:
                process.wait(max(0.1, over - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
        signal.signal(signal.SIGTERM, previous)
    statuses = [process.wait() for process in processes]
    for cell, status in zip(cells, statuses, strict=True):
        if status:
            lines = (runs / cell.run_name / "output.log").read_text(errors="replace").splitlines()
            print("\n".join([f"{cell.run_name}: exit status {status}", *lines[-5:]]), file=sys.stderr)
    return statuses


def start(folder: Path, until: float, environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    """The process of one run, its output in the run's folder."""
    with held_back(), open(folder / "output.log", "ab") as output:
        return subprocess.Popen(
            [sys.executable, "-m", "experiments.borrowed.child", str(folder), str(until)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environment,
            start_new_session=True,  # Ctrl-C reaches this process alone, which hands it on
        )


def said(cells: Sequence[Cell], runs: Path) -> str:
    """The last line that each run has written."""
    parts = []
    for cell in cells:
        lines = (runs / cell.run_name / "output.log").read_text(errors="replace").splitlines()
        parts.append(lines[-1].strip()[:80] if lines else f"{cell.row} starts")
    return " | ".join(parts)


def pack_of(options: GpuNatural) -> Path:
    """The pack of the profile that was made last; raises ConfigError where there is none."""
    found = list((options.out / PACKS).glob(f"{options.profile}-*/{NAME}"))
    if not found:
        raise ConfigError(f"{options.out / PACKS}: no pack of profile {options.profile}; make gpu-natural makes one")
    return max(found, key=lambda path: path.stat().st_mtime).parent


def command(options: GpuNatural) -> str:
    """The command that makes the pack again."""
    given = {"MINUTES": f"{options.minutes:g}", "BUDGET": options.budget, "PROFILE": options.profile}
    given |= {"DATASET": options.dataset, "SAMPLES": options.samples, "DEVICE": options.device}
    defaults = {"PROFILE": "small"}
    return " ".join(
        ["make gpu-natural", *(f"{k}={v}" for k, v in given.items() if v is not None and v != defaults.get(k))]
    )
