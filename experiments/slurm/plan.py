"""What a sweep would submit, and what it would be refused for, in words; submits and writes nothing."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

from clel.config import ConfigError
from clel.data import DataError
from clel.runs.config import Run
from clel.storage.atomic import in_bytes
from clel.storage.log import counted
from experiments.plan.disk import Disk, disk, in_all
from experiments.plan.plan import spec_or_fault
from experiments.slurm.clients import SchedulerError
from experiments.slurm.hours import Hours, hours_of
from experiments.slurm.launch import placed
from experiments.slurm.preflight import check_data, check_slurm, check_weights, check_writable
from experiments.slurm.resources import (
    ONE_GPU,
    JobArray,
    Needs,
    Resources,
    arrays,
    beyond_one_gpu,
    load_needs,
    needs_of,
    too_large,
)
from experiments.slurm.scheduler import max_array_size, require_slurm
from experiments.sweep.grid import Cell
from experiments.sweep.launch import has_result
from experiments.sweep.slurm_options import PARALLEL, SlurmOptions
from experiments.sweep.store import by_row

USUAL_SIZE = 1001
"""MaxArraySize of a Slurm that was not told another."""


def array_size() -> tuple[int, str]:
    """The most tasks of an array here, and where that is known from."""
    if shutil.which("scontrol"):
        try:
            return max_array_size(), "as this cluster allows"
        except SchedulerError:
            pass
    return USUAL_SIZE, "Slurm's default; this host cannot ask"


def amount(hours: float) -> str:
    """10,398 or 0.25."""
    return f"{hours:,.0f}" if hours >= 1000 else f"{hours:.4g}"


def checks_in_words(
    cells: Sequence[Cell],
    pending: Sequence[Cell],
    runs: Path,
    options: SlurmOptions,
    needs: Mapping[tuple[str, str], Needs],
) -> list[str]:
    """What the submission looks at first, as lines: all that it would be refused for, not only the first of it."""
    try:
        require_slurm()
    except SchedulerError as error:
        return [f"partitions, resources and data were not checked: {error}"]
    from experiments.slurm.submit import try_out  # submitit is only needed here

    size, _ = array_size()

    def takeable(array: JobArray) -> None:
        check_slurm([array.resources])
        try_out(array, size, runs.parent / "sweeps", options)

    def placeable() -> None:
        for cell in pending:
            placed(cell, options, needs)

    wanted = arrays(pending, options, needs, max(1, len(pending)))
    looks: list[Callable[[], None]] = [partial(takeable, array) for array in wanted]
    looks += [placeable, partial(check_weights, cells), partial(check_data, cells, runs, look_only=True)]
    looks += [partial(check_writable, runs.parent, look_only=True)]
    found = []
    for look in looks:
        try:
            look()
        except (SchedulerError, ConfigError, DataError) as error:
            found += [f"  - {line}" for line in str(error).splitlines()]
    if not found:
        return [
            "checked, as the submission will: partitions, resources, data and OUT; and all that sbatch is given, by "
            "sbatch itself (--test-only). Limits of how many jobs a user may have show when they are met"
        ]
    return ["as it is, the submission would be refused:", *dict.fromkeys(found)]


def describe_arrays(cells: Sequence[Cell], runs: Path, options: SlurmOptions) -> str:
    """The arrays with their resources, a line a row of the table in each with its hours and their source, then sums."""
    needs, rows = load_needs(), by_row(cells)
    pending = [cell for cell in cells if not has_result(cell, runs)]
    size, known = array_size()
    lines = [f"{counted(len(cells), 'run')}, {len(cells) - len(pending)} of them finished", ""]
    gpu_hours = core_hours = longest = 0.0
    space = {row: _space(members[0]) for row, members in by_row(pending).items()}
    at_once = 0
    for number, array in enumerate(arrays(pending, options, needs, size), 1):
        lines.append(f"array {number}: {counted(len(array.cells), 'run')}, each {array.resources}")
        at_once += min(len(array.cells), (options.parallel or PARALLEL) * array.resources.runs)
        for row, members in by_row(array.cells).items():
            expected = hours_of(members[0], rows[row], runs, needs)
            lines.append(_row(row, members, array.resources, expected, space[row], options, needs))
            gpu_hours += expected.hours * array.resources.gpus * len(members)
            core_hours += expected.hours * array.resources.cpus * len(members)
            longest = max(longest, expected.hours)
    lines += ["", f"then one job that makes the table. Arrays have at most {counted(size, 'run')} ({known}),"]
    lines += [f"at most {options.parallel or PARALLEL} of an array at a time."]
    sums = f"{amount(gpu_hours)} GPU hours, {amount(core_hours)} core hours"
    lines += [f"estimated: {sums}, the longest run {amount(longest)} h"]
    written = [found for cell in pending if (found := space[cell.row]) is not None]
    lines += [in_all(written, at_once, runs)] if written else []
    beyond = beyond_one_gpu(pending, options, needs)
    lines += ["", too_large(beyond, cells)] if beyond else []
    lines += ["", *checks_in_words(cells, pending, runs, options, needs)]
    return "\n".join([*lines, f"runs would go to {runs}; nothing was submitted"])


def _space(cell: Cell) -> Disk | None:
    """The disk space of a trained run; None for samples alone."""
    return disk(cell.run, spec_or_fault(cell.dataset)[0]) if isinstance(cell.run, Run) else None


def _row(
    row: str,
    members: Sequence[Cell],
    asked: Resources,
    expected: Hours,
    space: Disk | None,
    options: SlurmOptions,
    needs: Mapping[tuple[str, str], Needs],
) -> str:
    """A row's line in its array: what a run of it takes, and where the hours come from."""
    need = needs_of(members[0], needs)
    line = f"    {row:<24}{len(members):>6} {'run' if len(members) == 1 else 'runs'} of {expected.hours:g} h"
    if need.gpu_memory_gb and asked.gpus:
        line += f", {need.gpu_memory_gb:g} GB on the GPU"
        line += "" if need.fits else f": DOES NOT FIT one of {ONE_GPU:g} GB"
    line += f", {in_bytes(space.kept)} on disk" if space else ""
    jobs = max(1, -int(-expected.hours * 60 // asked.minutes))
    line += f", each about {jobs} jobs one after the other" if jobs > 1 else ""
    if jobs > options.most_requeues + 1:
        line += f"; more than REQUEUES={options.most_requeues} allows: give more, or longer jobs (LIMIT_MINUTES)"
    return f"{line}; hours: {expected.source}"
