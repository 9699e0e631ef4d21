"""What is asked of a sweep once it is submitted: status, logs, cancel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from clel.config import ConfigError, require
from clel.storage.log import counted
from experiments.commands.again import sweep_report
from experiments.commands.coverage import watch
from experiments.slurm import attempts
from experiments.slurm.clients import SchedulerError
from experiments.slurm.scheduler import cancel_jobs, job_states
from experiments.slurm.states import ENDED
from experiments.slurm.sweep import all_sweeps, choose_sweep, job_log, latest_jobs
from experiments.slurm.traces import FINAL, recorded, tail
from experiments.sweep.naming import OUT


@dataclass(frozen=True)
class Status:
    """Where every run stands: of the latest sweep, or, where nothing was submitted, of every table on this machine."""

    sweep: str = ""
    """Name of the sweep; the latest if not given."""
    out: Path = OUT
    """Folder that make table1 had as OUT."""
    local: bool = False
    """The tables on this machine, even where there are sweeps."""
    every: float | None = None
    """Print it again each so many seconds, as long as a process of this machine is at work."""


@dataclass(frozen=True)
class Logs:
    """The end of a run's output over all its attempts, and of its job's own."""

    run: str
    """Name of a run, or enough of its beginning."""
    lines: int = 40
    """Lines of each."""
    sweep: str = ""
    """Name of the sweep; the latest if not given."""
    out: Path = OUT
    """Folder that make table1 had as OUT."""


@dataclass(frozen=True)
class Cancel:
    """Cancel the jobs of a sweep, or of one run. Runs at work save their state and leave."""

    run: str = ""
    """Name of a run, or enough of its beginning; all runs if not given."""
    sweep: str = ""
    """Name of the sweep; the latest if not given."""
    out: Path = OUT
    """Folder that make table1 had as OUT."""


def status(options: Status) -> int:
    """Prints the report; exit status 0."""
    require(options.every is None or options.every > 0, f"every is {options.every}; expected seconds, more than 0")
    if options.local or not (options.sweep or all_sweeps(options.out)):
        watch(options.out, options.every)
        return 0
    sweep = choose_sweep(options.out, options.sweep)
    print(f"sweep {sweep.name}")
    print(sweep_report(sweep, options.out))
    for array in sweep.arrays:
        if not array["job"]:
            print(
                f"sbatch took a job of no number at {array['submitted']} and printed {array['said']!r}: "
                f"squeue --me --name={array['name']} shows whether it is there"
            )
    return 0


def logs(options: Logs) -> int:
    """Prints them; exit status 0."""
    sweep = choose_sweep(options.out, options.sweep)
    run = one_run(sweep.runs, options.run)
    folder = sweep.run_folders / run
    for attempt in attempts.all_of(folder):
        how = f"{attempt.how}: {attempt.why}" if attempt.how else "no word of its end"
        print(f"{attempt.started}  job {attempt.job} on {attempt.node}: {how}")
    shown = tail(folder / "output.log", options.lines)
    print(f"== {folder / 'output.log'}\n{shown or 'nothing yet'}")
    job = latest_jobs(all_sweeps(options.out)).get(run)
    if job is not None:
        path = job_log(folder, job)
        print(f"== {path}\n{tail(path, options.lines) or 'nothing yet: the job has not started'}")
    return 0


def cancel(options: Cancel) -> int:
    """Exit status 0 once Slurm took the order."""
    sweep = choose_sweep(options.out, options.sweep)
    runs = [one_run(sweep.runs, options.run)] if options.run else sweep.runs
    ids = list(dict.fromkeys(sweep.jobs[run][-1] for run in runs if run in sweep.jobs))
    beside = [run for run, jobs in sweep.jobs.items() if jobs[-1] in ids and run not in runs]
    if beside:
        raise ConfigError(f"{runs[0]} shares its job with {', '.join(beside)}: make cancel stops the whole sweep")
    tables = [] if options.run else sweep.collect
    latest = latest_jobs(all_sweeps(options.out))
    others = {latest[run].id: latest[run].sweep for run in runs if run in latest and latest[run].sweep != sweep.name}
    asked = [*ids, *tables, *others]
    states = job_states(asked) if asked else {}
    foreign = sorted({others[job] for job in others if states[job].state in ("PENDING", "RUNNING")})
    if foreign:
        print(f"some of its runs have jobs of other sweeps, which stay: make cancel SWEEP={', '.join(foreign)}")
    unfinished = [run for run in runs if recorded(sweep.run_folders / run)[0] not in FINAL]
    wanted = {sweep.jobs[run][-1] for run in unfinished if run in sweep.jobs}
    over = {job for job in asked if states[job].state in ENDED} | set(sweep.cancelled)
    ids = [job for job in ids if job not in over and (job in wanted or states[job].state != "UNKNOWN")]
    # a job that Slurm has forgotten waits for nothing once no run is left
    tables = [job for job in tables if job not in over and (ids or states[job].state != "UNKNOWN")]
    if not ids and not tables:
        print("nothing to cancel: no job of its own is waiting or running")
        return 0
    known = list(sweep.cancelled)
    # before, lest it be forgotten where this process ends in between
    sweep.cancelled += [*ids, *tables]
    sweep.save()
    try:
        cancel_jobs([*ids, *tables])
    except SchedulerError:
        sweep.cancelled = known
        sweep.save()
        raise
    if ids:
        left = sum(run in unfinished and jobs[-1] in ids for run, jobs in sweep.jobs.items())
        again = f"make resume submits {'it' if left == 1 else 'them'} again"
        print(f"cancelled {counted(len(ids), 'job')} of {counted(left, 'run')}: {', '.join(ids)}. {again}")
    if tables:
        makes = "job that makes" if len(tables) == 1 else "jobs that make"
        print(f"cancelled {len(tables)} {makes} the table: {', '.join(tables)}. {sweep.command} makes it")
    return 0


def one_run(runs: Sequence[str], prefix: str) -> str:
    """The run whose name begins so; raises ConfigError where that is none, or several."""
    found = [run for run in runs if run == prefix] or [run for run in runs if run.startswith(prefix)]
    if len(found) != 1:
        what = f"stands for {len(found)} runs" if found else "is no run of this sweep"
        raise ConfigError(f"RUN={prefix} {what}; give enough of one of: {', '.join(found or runs)}")
    return found[0]
