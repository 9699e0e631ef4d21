"""Arrays handed to sbatch, through submitit's executor for Slurm; all of them, or none."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, replace
from pathlib import Path

from clel.storage.provenance import utc_now
from experiments.slurm.clients import SchedulerError
from experiments.slurm.executor import Unread, cancel_named, complaint, make_executor
from experiments.slurm.resources import JobArray, Resources
from experiments.slurm.scheduler import cancel_jobs
from experiments.slurm.sweep import Sweep
from experiments.slurm.task import CollectTask, Task
from experiments.slurm.together import Together
from experiments.sweep.slurm_options import SlurmOptions

COLLECTING = Resources(None, 0, 1, 4.0, 60)
MARGIN = 30
"""Seconds of the notice that are kept for the requeue itself."""
USERS_OWN = ("ACCOUNT", "QOS", "RESERVATION", "CONSTRAINT", "CLUSTERS", "WCKEY")
"""What a user may set for all sbatch calls, as SBATCH_<...>; others would override what the launcher asks for."""


def submit_arrays(sweep: Sweep, arrays: Sequence[JobArray], code: Path, options: SlurmOptions) -> list[str]:
    """Submit every array, each noted in sweep.json as soon as sbatch took it; returns their jobs' numbers.

    Raises:
        SchedulerError: sbatch refused one, or took one without telling its number, which sweep.json keeps; those before
            it were cancelled, which the message says.
    """
    taken: list[str] = []
    try:
        for array in arrays:
            name = job_name(sweep, f"{sweep.name}-{len(sweep.arrays) + 1}")
            about = {"resources": asdict(array.resources), "code": code.name, "runs": len(array.cells)}
            notice = options.notice_seconds(array.resources.minutes)
            patience = max(notice - MARGIN, notice / 2)
            tasks: list[Task | Together] = []
            for cells in array.shared:
                folders = [str(sweep.run_folders.absolute() / cell.run_name) for cell in cells]
                each = [Task(folder, sweep.home, options.most_requeues, patience) for folder in folders]
                tasks.append(each[0] if len(each) == 1 else Together(each))
            executor = make_executor(sweep.folder, array.resources, code, options, name)
            try:
                with outside_a_job(options):
                    ids = [job.job_id for job in executor.submit_array(tasks)]
            except BaseException as error:
                cancel_named(name)
                if isinstance(error, Unread):
                    sweep.arrays.append({"job": "", "submitted": utc_now(), **about, "name": name, "said": error.said})
                    sweep.save()
                raise
            base = ids[0].partition("_")[0]
            taken.append(base)
            sweep.arrays.append({"job": base, "submitted": utc_now(), **about})
            for cells, job in zip(array.shared, ids, strict=True):
                for cell in cells:
                    sweep.jobs.setdefault(cell.run_name, []).append(job)
            sweep.save()
    except BaseException as error:
        undone = _undo(sweep, taken)
        if isinstance(error, Unread):
            raise SchedulerError(f"{error}. {undone or 'Nothing else was submitted'}") from error
        if isinstance(error, RuntimeError | OSError):
            raise SchedulerError(
                f"sbatch refused the jobs: {_words(error)}. {undone or 'Nothing was submitted'}"
            ) from error
        raise
    return taken


def job_name(sweep: Sweep, text: str) -> str:
    """A name that no other job has: sweeps of other folders may have begun in the same second."""
    return f"clel-{text}-{hashlib.sha256(str(sweep.folder.absolute()).encode()).hexdigest()[:6]}"


def submit_collect(sweep: Sweep, after: Sequence[str], code: Path, options: SlurmOptions) -> str:
    """Submit the job that makes the table once all jobs of `after` have ended, however they did; returns its number."""
    wanted = replace(COLLECTING, partition=options.partition)
    name = job_name(sweep, f"collect-{sweep.name}-{len(sweep.arrays)}")
    executor = make_executor(sweep.folder, wanted, code, options, name)
    executor.update_parameters(dependency="afterany:" + ":".join(after))
    try:
        with outside_a_job(options):
            job = executor.submit(CollectTask(str(sweep.folder.absolute()), sweep.home)).job_id
    except (RuntimeError, OSError) as error:
        cancel_named(name)
        refused = "" if isinstance(error, Unread) else "sbatch refused "
        raise SchedulerError(f"{refused}the job that makes the table: {_words(error)}") from error
    sweep.collect.append(job)
    sweep.save()
    return job


def try_out(array: JobArray, size: int, sweeps: Path, options: SlurmOptions) -> None:
    """Raise SchedulerError where sbatch would not take the array, of at most `size` tasks; nothing is submitted."""
    executor = make_executor(sweeps / "trial", array.resources, sweeps, options, "clel-trial")
    with outside_a_job(options):
        refusal = executor.refusal(min(len(array.shared), size))
    if refusal:
        raise SchedulerError(f"sbatch, asked on trial for {array.resources}: {refusal}")


@contextmanager
def outside_a_job(options: SlurmOptions) -> Iterator[None]:
    """The environment without what an enclosing job, or the user's defaults for sbatch, would change of a new one."""
    kept = {f"SBATCH_{name}" for name in USERS_OWN} | {"SLURM_CONF"}
    if not options.partition:
        kept.add("SBATCH_PARTITION")
    foreign = ("SLURM_", "SLURMD_", "SBATCH_", "SRUN_", "SUBMITIT_")
    removed = {name: os.environ.pop(name) for name in list(os.environ) if name.startswith(foreign) and name not in kept}
    try:
        yield
    finally:
        os.environ.update(removed)


def _undo(sweep: Sweep, jobs: Sequence[str]) -> str:
    """Cancel what was submitted already; says how that went, "" where that was nothing."""
    if not jobs:
        return ""
    members = [ids[-1] for ids in sweep.jobs.values() if ids[-1].partition("_")[0] in jobs]
    sweep.cancelled += members
    with suppress(OSError):
        sweep.save()
    try:
        cancel_jobs(jobs)
    except SchedulerError as error:
        return f"Jobs {', '.join(jobs)} were submitted before and could not be cancelled ({error}): scancel them"
    return f"Jobs {', '.join(jobs)}, submitted before, were cancelled"


def _words(error: BaseException) -> str:
    return complaint(str(error)) or type(error).__name__
