"""A table's runs submitted as job arrays: checked first, none twice, all or none, and a job that collects them."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from clel.config import ConfigError
from clel.runs.config import save_config
from clel.storage.lock import Busy, locked
from clel.storage.log import counted
from experiments.slurm.clients import SchedulerError
from experiments.slurm.evidence import RunState, gather, judge
from experiments.slurm.preflight import check_data, check_slurm, check_weights, check_writable
from experiments.slurm.resources import JobArray, arrays, beyond_one_gpu, load_needs, too_large
from experiments.slurm.scheduler import job_states, max_array_size
from experiments.slurm.snapshot import snapshot
from experiments.slurm.sweep import LatestJob, Sweep, all_sweeps, latest_jobs, new_sweep
from experiments.sweep.grid import Cell
from experiments.sweep.launch import has_result
from experiments.sweep.slurm_options import SlurmOptions


@dataclass(frozen=True)
class Launch:
    """What is to be launched.

    name: of the table's folder. cells: its runs. out: OUT. slurm: how to submit. command: that makes it on one machine.
    options: from which a later process makes the cells again.
    """

    name: str
    cells: Sequence[Cell]
    out: Path
    slurm: SlurmOptions
    command: str
    options: dict[str, Any]


def launch(table: Launch, sweep: Sweep | None = None) -> Sweep | None:
    """Submit every run that has no result and no job that may still be there; None where there is none such.

    sweep: the one to submit more jobs of, for runs that it lost; otherwise a new one.

    Raises:
        SchedulerError, ConfigError, DataError: what is wrong; nothing was submitted, or what was is cancelled.
    """
    out, runs = table.out.absolute(), table.out.absolute() / "runs"
    pending = [cell for cell in table.cells if not has_result(cell, runs)]
    done = len(table.cells) - len(pending)
    print(f"finished already: {done} of {counted(len(table.cells), 'run')}", file=sys.stderr)
    if not pending:
        return None
    needs = load_needs()
    check_slurm(array.resources for array in arrays(pending, table.slurm, needs, len(pending)))
    check_weights(table.cells)
    check_data(table.cells, runs)
    check_writable(out)
    if beyond := beyond_one_gpu(pending, table.slurm, needs):
        print(f"warning: {too_large(beyond, table.cells)}", file=sys.stderr)
    try:
        # of two that submit at once the second sees the first one's jobs
        with locked(out / "sweeps", wait=60):
            missing, others = unclaimed(pending, out, force=table.slurm.force)
            if not missing:
                print("nothing to submit: every run that is missing has a job", file=sys.stderr)
                return None
            for cell in missing:
                save_config(placed(cell, table.slurm, needs).run, runs / cell.run_name)
            wanted = arrays(missing, table.slurm, needs, max_array_size())
            names = [cell.run_name for cell in table.cells]
            fresh = sweep is None
            sweep = sweep or new_sweep(out, table.name, Path.cwd(), table.command, table.options, names)
            try:
                submit_all(sweep, wanted, snapshot(sweep.folder / "code"), table.slurm, others)
            except BaseException:
                if fresh and not sweep.arrays:
                    shutil.rmtree(sweep.folder, ignore_errors=True)
                raise
    except Busy as busy:
        raise SchedulerError(f"another submission from {out} is going on: {busy}") from None
    return sweep


def submit_all(
    sweep: Sweep, wanted: Sequence[JobArray], code: Path, options: SlurmOptions, others: Sequence[str]
) -> None:
    """Submit arrays and the job that collects; others: jobs of earlier sweeps that the table waits for as well."""
    from experiments.slurm.submit import submit_arrays, submit_collect  # submitit is only needed here

    jobs = submit_arrays(sweep, wanted, code, options)
    for job, array in zip(jobs, wanted, strict=True):
        print(f"job {job}: {counted(len(array.cells), 'run')}, each {array.resources}")
    try:
        collect = submit_collect(sweep, [*jobs, *others], code, options)
        print(f"job {collect} makes the table when they have ended")
    except SchedulerError as error:
        # the runs are worth having without it
        print(f"{error}. When the runs have ended, make the table by make report", file=sys.stderr)
    print(f"sweep {sweep.name}: make status, make logs RUN=..., make cancel, make resume")


def unclaimed(cells: Sequence[Cell], out: Path, force: bool = False) -> tuple[list[Cell], list[str]]:
    """The cells that no job may still be at work on, and the jobs (whole arrays) of the others, which are printed.

    force: where Slurm cannot say, take a run's job for gone.
    """
    sweeps = all_sweeps(out)
    found = where_cells_stand(cells, out / "runs", latest_jobs(sweeps))
    free, jobs = [], list[str]()
    for cell in cells:
        job, verdict = found[cell.run_name]
        if verdict.state == "finished":
            continue  # since the caller looked
        if not verdict.alive or (force and verdict.state == "unknown"):
            free.append(cell)
            continue
        why = f": {verdict.why}" if verdict.why else ""
        if job is None:
            print(f"{cell.run_name}: at work already, {verdict.why}", file=sys.stderr)
            continue
        jobs.append(job.id.partition("_")[0])
        hint = "; FORCE=1 submits it all the same" if verdict.state == "unknown" else ""
        print(f"{cell.run_name}: already submitted as job {job.id} ({verdict.state}{why}{hint})", file=sys.stderr)
    return free, list(dict.fromkeys(jobs))


def where_cells_stand(
    cells: Sequence[Cell], runs: Path, latest: Mapping[str, LatestJob]
) -> dict[str, tuple[LatestJob | None, RunState]]:
    """The latest job of each cell, and where the cell stands.

    Raises:
        SchedulerError: jobs were submitted, and Slurm does not answer.
    """
    jobs = {cell.run_name: latest.get(cell.run_name) for cell in cells}
    ids = [job.id for job in jobs.values() if job is not None]
    states = job_states(ids) if ids else {}
    return {
        cell.run_name: (
            jobs[cell.run_name],
            judge(gather(runs / cell.run_name, has_result(cell, runs), jobs[cell.run_name], states)),
        )
        for cell in cells
    }


def placed(cell: Cell, options: SlurmOptions, needs: Mapping[tuple[str, str], Any]) -> Cell:
    """The cell with its device settled by what it asks for: a job that was given a GPU must not go on without."""
    (array,) = arrays([cell], options, needs, 1)
    run: Any = cell.run
    if not array.resources.gpus or getattr(run, "device", None) != "auto":
        if array.resources.gpus and getattr(run, "device", "cpu") == "cpu":
            raise ConfigError(f"{cell.row}: DEVICE=cpu, but its job would ask for a GPU; give GPUS=0 as well")
        return cell
    return replace(cell, run=replace(run, device="cuda"))
