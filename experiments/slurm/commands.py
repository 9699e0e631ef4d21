"""What is asked of a sweep once it is submitted: status, logs, cancel, resume; and collect, which its last job runs."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from clel.config import ConfigError
from experiments import table1
from experiments.grid import Cell
from experiments.launch import finished
from experiments.report import write_report
from experiments.slurm import attempts
from experiments.slurm.clients import SchedulerError
from experiments.slurm.launch import launch
from experiments.slurm.options import SlurmOptions
from experiments.slurm.scheduler import cancel as cancel_jobs
from experiments.slurm.scheduler import job_states
from experiments.slurm.status import Report, report
from experiments.slurm.sweep import JOBS, Sweep, all_sweeps, choose_sweep, latest_jobs, load_sweep
from experiments.slurm.task import tail


@dataclass(frozen=True)
class Status:
    """Where every run of a sweep stands."""

    sweep: str = ""
    """Name of the sweep; the latest if not given."""
    out: Path = Path("results")
    """Folder that make table1 had as OUT."""


@dataclass(frozen=True)
class Logs:
    """The end of a run's output over all its attempts, and of its job's own."""

    run: str
    """Name of a run, or enough of its beginning."""
    lines: int = 40
    """Lines of each."""
    sweep: str = ""
    """Name of the sweep; the latest if not given."""
    out: Path = Path("results")
    """Folder that make table1 had as OUT."""


@dataclass(frozen=True)
class Cancel:
    """Cancel the jobs of a sweep, or of one run. Runs at work save their state and leave."""

    run: str = ""
    """Name of a run, or enough of its beginning; all runs if not given."""
    sweep: str = ""
    """Name of the sweep; the latest if not given."""
    out: Path = Path("results")
    """Folder that make table1 had as OUT."""


@dataclass(frozen=True)
class Resume:
    """Submit what a sweep lost or was cancelled, with the code as it is now."""

    sweep: str = ""
    """Name of the sweep; the latest if not given."""
    out: Path = Path("results")
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


def status(options: Status) -> int:
    """Prints the report; exit status 0."""
    sweep = choose_sweep(options.out, options.sweep)
    print(f"sweep {sweep.name}")
    print(_report(sweep, options.out))
    return 0


def logs(options: Logs) -> int:
    """Prints them; exit status 0."""
    sweep = choose_sweep(options.out, options.sweep)
    run = one_run(sweep.runs, options.run)
    folder = sweep.run_folders / run
    for attempt in attempts.read(folder):
        how = f"{attempt.how}: {attempt.why}" if attempt.how else "no word of its end"
        print(f"{attempt.started}  job {attempt.job} on {attempt.node}: {how}")
    shown = tail(folder / "output.log", options.lines)
    print(f"== {folder / 'output.log'}\n{shown or 'nothing yet'}")
    job = latest_jobs(all_sweeps(options.out)).get(run)
    if job is not None:
        path = sweep.folder.parent / job.sweep / JOBS / f"{job.id}_0_log.out"
        print(f"== {path}\n{tail(path, options.lines) or 'nothing yet: the job has not started'}")
    return 0


def cancel(options: Cancel) -> int:
    """Exit status 0 once Slurm took the order."""
    sweep = choose_sweep(options.out, options.sweep)
    runs = [one_run(sweep.runs, options.run)] if options.run else sweep.runs
    ids = [sweep.jobs[run][-1] for run in runs if run in sweep.jobs]
    ids += [] if options.run else sweep.collect
    over = {"COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "OUT_OF_MEMORY", "NODE_FAIL"}
    states = job_states(ids) if ids else {}
    ids = [job for job in ids if states[job].state not in over and job not in sweep.cancelled]
    latest = latest_jobs(all_sweeps(options.out))
    foreign = sorted({latest[run].sweep for run in runs if run in latest} - {sweep.name})
    if foreign:
        print(f"some of its runs have jobs of other sweeps, which stay: make cancel SWEEP={', '.join(foreign)}")
    if not ids:
        print("nothing to cancel: no job of its own is waiting or running")
        return 0
    known = list(sweep.cancelled)
    # before, lest it be forgotten where this process ends in between
    sweep.cancelled += ids
    sweep.save()
    try:
        cancel_jobs(ids)
    except SchedulerError:
        sweep.cancelled = known
        sweep.save()
        raise
    print(f"cancelled {len(ids)} jobs: {', '.join(ids)}. make resume submits their runs again")
    return 0


def resume(options: Resume) -> int:
    """Exit status 0 where all that is missing has a job now."""
    sweep = choose_sweep(options.out, options.sweep)
    found = _report(sweep, options.out)
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
    wanted = table1.restored(sweep.options, out)
    wanted = replace(wanted, slurm=wanted.slurm.changed_by(options.slurm))
    cells = _cells(sweep, wanted)
    if launch(table1.launched(wanted, cells), sweep) is None and not any(s.verdict.alive for s in found.standings):
        print("every run is finished; make report makes the table again", file=sys.stderr)
    return 0


def collect(options: Collect) -> int:
    """Exit status 0 made with all runs, 1 made without some, 3 no run has a result and nothing was made."""
    folder = options.folder.absolute()
    if options.at is not None:
        os.chdir(options.at)
    sweep = load_sweep(folder)
    wanted = table1.restored(sweep.options, folder.parent.parent)
    cells = _cells(sweep, wanted)
    missing = [cell.run_name for cell in cells if not finished(cell, sweep.run_folders)]
    if len(missing) == len(cells):
        print("no run has a result; no table was made", file=sys.stderr)
        return 3
    for path in write_report(wanted.out / table1.table_name(wanted, cells), cells, sweep.run_folders, sweep.command):
        print(path)
    print(table1.summary(cells, sweep.run_folders))
    if missing:
        print(f"{len(missing)} of {len(cells)} runs have no result: {', '.join(missing)}", file=sys.stderr)
    return 1 if missing else 0


def one_run(runs: Sequence[str], prefix: str) -> str:
    """The run whose name begins so; raises ConfigError where that is none, or several."""
    found = [run for run in runs if run == prefix] or [run for run in runs if run.startswith(prefix)]
    if len(found) != 1:
        what = f"stands for {len(found)} runs" if found else "is no run of this sweep"
        raise ConfigError(f"RUN={prefix} {what}; give enough of one of: {', '.join(found or runs)}")
    return found[0]


def _report(sweep: Sweep, out: Path) -> Report:
    cells = {cell.run_name: cell for cell in _cells(sweep, table1.restored(sweep.options, out))}
    done = {run: finished(cells[run], sweep.run_folders) for run in sweep.runs}
    return report(sweep, latest_jobs(all_sweeps(out)), done)


def _cells(sweep: Sweep, options: table1.Table1) -> list[Cell]:
    """The sweep's cells, made again from its options.

    Raises:
        ConfigError: the code has other settings now, so that they would be other runs.
    """
    cells = table1.cells_of(options)
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
