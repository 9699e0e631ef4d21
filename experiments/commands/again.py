"""Taking a sweep up again from its folder: what it lacks is submitted, or its table made."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path

from clel.config import ConfigError
from experiments.commands.artefacts import artefact_of
from experiments.slurm.clients import SchedulerError
from experiments.slurm.launch import launch
from experiments.slurm.status import SweepStatus, sweep_status
from experiments.slurm.sweep import Sweep, all_sweeps, choose_sweep, latest_jobs, load_sweep
from experiments.slurm.traces import tail
from experiments.sweep.grid import Cell
from experiments.sweep.launch import has_result
from experiments.sweep.naming import OUT
from experiments.sweep.slurm_options import SlurmOptions


@dataclass(frozen=True)
class Resume:
    """Submit what a sweep lost or was cancelled, with the code as it is now."""

    sweep: str = ""
    """Name of the sweep; the latest if not given."""
    out: Path = OUT
    """Folder that make table1 had as OUT."""
    slurm: SlurmOptions = field(default_factory=SlurmOptions)
    """What is to be different from the first time."""


@dataclass(frozen=True)
class Collect:
    """Make the table and figures of a sweep from what its runs have come to."""

    folder: Path
    """The sweep's folder."""
    at: Path | None = None
    """Folder that it was submitted from."""


def resume(options: Resume) -> int:
    """Exit status 0 where all that is missing has a job now."""
    sweep = choose_sweep(options.out, options.sweep)
    found = sweep_report(sweep, options.out)
    if found.trouble:
        raise SchedulerError(found.trouble.splitlines()[0])
    for s in found.standings:
        if s.verdict.state in ("failed", "lost", "timeout", "stopped", "cancelled"):
            print(f"{s.run}: {s.verdict.state}{': ' if s.verdict.why else ''}{s.verdict.why}")
            if s.verdict.state in ("failed", "lost"):
                lines = tail(sweep.run_folders / s.run / "output.log", 5).splitlines()
                print("".join(f"    {line}\n" for line in lines), end="")
    out = options.out.absolute()
    os.chdir(sweep.home)
    artefact = artefact_of(sweep.options)
    wanted = artefact.restored(sweep.options, out)
    wanted = replace(wanted, slurm=wanted.slurm.changed_by(options.slurm))
    cells = sweep_cells(sweep, out)
    if launch(artefact.launched(wanted, cells), sweep) is None and not any(s.verdict.alive for s in found.standings):
        print(f"every run is finished; {sweep.command} makes the table", file=sys.stderr)
    return 0


def collect(options: Collect) -> int:
    """Exit status 0 made with all runs, 1 made without some, 3 no run has a result and nothing was made."""
    folder = options.folder.absolute()
    if options.at is not None:
        os.chdir(options.at)
    sweep = load_sweep(folder)
    artefact = artefact_of(sweep.options)
    wanted = artefact.restored(sweep.options, folder.parent.parent)
    cells = sweep_cells(sweep, folder.parent.parent)
    missing = [cell.run_name for cell in cells if not has_result(cell, sweep.run_folders)]
    if len(missing) == len(cells):
        print("no run has a result; no table was made", file=sys.stderr)
        return 3
    for path in artefact.write(wanted, sweep.command):
        print(path)
    print(artefact.summary(wanted))
    if missing:
        have = "has" if len(missing) == 1 else "have"
        print(f"{len(missing)} of {len(cells)} runs {have} no result: {', '.join(missing)}", file=sys.stderr)
    return 1 if missing else 0


def sweep_report(sweep: Sweep, out: Path) -> SweepStatus:
    """Where the runs of a sweep stand; see `sweep_status`."""
    cells = {cell.run_name: cell for cell in sweep_cells(sweep, out)}
    return sweep_status(sweep, latest_jobs(all_sweeps(out)), lambda run: has_result(cells[run], sweep.run_folders))


def sweep_cells(sweep: Sweep, out: Path) -> list[Cell]:
    """The sweep's cells, made again from its options; `out`: the folder of its results.

    Raises:
        ConfigError: the code has other settings now, so that they would be other runs.
    """
    artefact = artefact_of(sweep.options)
    cells = artefact.cells_of(artefact.restored(sweep.options, out))
    names = {cell.run_name for cell in cells}
    changed = [run for run in sweep.runs if run not in names]
    if changed:
        raise ConfigError(
            f"sweep {sweep.name}: the code has other settings now than when it was submitted, so that {len(changed)} "
            f"of its runs have another name, such as {changed[0]}. Take the code of that time, or submit anew: "
            f"{sweep.command} CLUSTER=slurm"
        )
    by_name = {cell.run_name: cell for cell in cells}
    return [by_name[run] for run in sweep.runs]
