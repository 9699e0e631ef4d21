"""What a sweep would submit, and what it would be refused for, in words; submits and writes nothing."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

from clel.config import ConfigError
from clel.data import DataError
from clel.run import Run
from experiments.grid import Cell
from experiments.launch import finished
from experiments.plan import by_row
from experiments.slurm.clients import SchedulerError
from experiments.slurm.launch import placed
from experiments.slurm.options import PARALLEL, SlurmOptions
from experiments.slurm.preflight import check_data, check_slurm, check_weights, check_writable
from experiments.slurm.resources import ONE_GPU, Array, Needs, arrays, beyond_one_gpu, load_needs, needs_of, too_large
from experiments.slurm.scheduler import max_array_size, require_slurm

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


def checked(
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

    def takeable(array: Array) -> None:
        check_slurm([array.resources])
        try_out(array, array_size()[0], runs.parent / "sweeps", options)

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


def hours_of(cell: Cell, needs: Mapping[tuple[str, str], Needs]) -> float:
    """Hours of the cell's training: its minutes, where it is trained for a time, else the table's."""
    minutes = cell.run.train.minutes if isinstance(cell.run, Run) else 0.0
    return round(minutes / 60, 3) if minutes else needs_of(cell, needs).hours


def describe(cells: Sequence[Cell], runs: Path, options: SlurmOptions) -> str:
    """The arrays with their resources, a line a row of the table in each, then hours."""
    needs = load_needs()
    pending = [cell for cell in cells if not finished(cell, runs)]
    size, known = array_size()
    lines = [f"{len(cells)} runs, {len(cells) - len(pending)} of them finished", ""]
    gpu_hours = core_hours = longest = 0.0
    for number, array in enumerate(arrays(pending, options, needs, size), 1):
        lines.append(f"array {number}: {len(array.cells)} runs, each {array.resources}")
        for row, members in by_row(array.cells).items():
            hours = hours_of(members[0], needs)
            jobs = max(1, -int(-hours * 60 // array.resources.minutes))
            again = f", each about {jobs} jobs one after the other" if jobs > 1 else ""
            if jobs > options.most_requeues + 1:
                again += (
                    f"; more than REQUEUES={options.most_requeues} allows: give more, or longer jobs (LIMIT_MINUTES)"
                )
            need = needs_of(members[0], needs)
            size_gb = f", {need.gpu_memory_gb:g} GB on the GPU" if need.gpu_memory_gb and array.resources.gpus else ""
            if size_gb and not need.fits:
                size_gb += f": DOES NOT FIT one of {ONE_GPU:g} GB"
            lines.append(f"    {row:<24}{len(members):>6} runs of {hours:g} h{size_gb}{again}")
            gpu_hours += hours * array.resources.gpus * len(members)
            core_hours += hours * array.resources.cpus * len(members)
            longest = max(longest, hours)
    sources = sorted({needs_of(c, needs).source for c in pending if hours_of(c, needs) == needs_of(c, needs).hours})
    lines += ["", f"then one job that makes the table. Arrays have at most {size} runs ({known}),"]
    lines += [f"at most {options.parallel or PARALLEL} of an array at a time."]
    sums = f"{amount(gpu_hours)} GPU hours, {amount(core_hours)} core hours"
    lines += [f"estimated: {sums}, the longest run {amount(longest)} h"]
    lines += [f"  ({source})" for source in sources]
    beyond = beyond_one_gpu(pending, options, needs)
    lines += ["", too_large(beyond, cells)] if beyond else []
    lines += ["", *checked(cells, pending, runs, options, needs)]
    return "\n".join([*lines, f"runs would go to {runs}; nothing was submitted"])
