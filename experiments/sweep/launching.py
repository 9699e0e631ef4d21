"""The options that say where and how the runs of an artefact are carried out; they change nothing of what is in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from clel.config import require
from experiments.sweep.grid import Cell
from experiments.sweep.launch import run_here
from experiments.sweep.local import run_local
from experiments.sweep.naming import names_in
from experiments.sweep.slurm_options import SlurmOptions

CLUSTERS = ("local", "debug", "slurm")
"""Where runs are carried out."""


@dataclass(frozen=True)
class Launching:
    """Where and how runs are carried out."""

    device: str = "auto"
    """cpu, cuda, cuda:1, ...; auto takes a GPU where there is one."""
    workers: int | None = None
    """Runs side by side. As many as GPUs, or cores, if not given."""
    runs_per_gpu: int | None = None
    """Runs that share one GPU of this machine; one if not given. On Slurm slurm.runs_per_gpu."""
    plan: bool = False
    """Print what would run, with estimates of time, memory and disk, and stop."""
    report: bool = False
    """Only make the tables and figures again from the records that are there."""
    columns: str = ""
    """Columns of the table to write beside it, as Markdown, LaTeX and CSV: method,distance,time."""
    paper: bool = False
    """Figures also as PDF, at the width of a paper's column."""
    cluster: str = "local"
    """local: workers on this machine. debug: one after the other in this process. slurm: job arrays.
    docs/guides/slurm.md has the last."""
    slurm: SlurmOptions = field(default_factory=SlurmOptions)
    """Resources and sbatch parameters, for the cluster slurm."""


def refuse(options: Any) -> None:
    """Raise ConfigError for options of any command that cannot be meant, whatever it does with them."""
    for name in ("workers", "runs_per_gpu"):
        value = getattr(options, name, None)
        require(value is None or value >= 1, f"{name} is {value}; expected at least 1")
    methods = getattr(options, "methods", "")
    require(
        bool(names_in(methods)) or not methods.strip(),
        f"METHODS is {methods!r}, which names none; leave it out for all",
    )


def run_on_this_machine(cells: Sequence[Cell], runs: Path, options: Launching) -> None:
    """Execute every cell that has no standing record: by workers, or in this process for the cluster debug."""
    if options.cluster == "debug":
        run_here(cells, runs)
    else:
        run_local(cells, runs, options.workers, options.device, options.runs_per_gpu)
