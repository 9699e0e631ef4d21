"""What a sweep would submit, in words; asks no Slurm and submits nothing."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from experiments.grid import Cell
from experiments.launch import finished
from experiments.plan import by_row
from experiments.slurm.clients import SchedulerError
from experiments.slurm.options import PARALLEL, SlurmOptions
from experiments.slurm.resources import arrays, load_needs, needs_of
from experiments.slurm.scheduler import max_array_size

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
            hours = needs_of(members[0], needs).hours
            jobs = max(1, -int(-hours * 60 // array.resources.minutes))
            again = f", each about {jobs} jobs one after the other" if jobs > 1 else ""
            if jobs > options.most_requeues + 1:
                again += f"; more than REQUEUES={options.most_requeues} allows: give more, or longer jobs (MINUTES)"
            lines.append(f"    {row:<24}{len(members):>6} runs of {hours:g} h{again}")
            gpu_hours += hours * array.resources.gpus * len(members)
            core_hours += hours * array.resources.cpus * len(members)
            longest = max(longest, hours)
    sources = sorted({needs_of(cell, needs).source for cell in pending})
    lines += ["", f"then one job that makes the table. Arrays have at most {size} runs ({known}),"]
    lines += [f"at most {options.parallel or PARALLEL} of an array at a time."]
    lines += [f"estimated: {gpu_hours:,.4g} GPU hours, {core_hours:,.4g} core hours, the longest run {longest:,.4g} h"]
    lines += [f"  ({source})" for source in sources]
    return "\n".join([*lines, f"runs would go to {runs}; nothing was submitted"])
