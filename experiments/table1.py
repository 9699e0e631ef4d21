"""Table 1: sample quality of every method, on one data set, with its cost (the paper's Table 1)."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import pandas as pd

from clel.config import ConfigError, choose, from_dict, require, to_dict
from clel.record import FINAL, read_record
from experiments.external import EXTERNAL, load_external
from experiments.grid import Cell, table1_cells
from experiments.launch import finished, prepare, run_here
from experiments.local import run_local
from experiments.naming import Named, in_order, names, table_name
from experiments.plan import describe
from experiments.report import write_report
from experiments.slurm import plan
from experiments.slurm.launch import Table, launch
from experiments.slurm.options import SlurmOptions
from experiments.store import load_cells
from experiments.tables import table1

CLUSTERS = ("local", "debug", "slurm")
LEFT_OUT = ("out", "plan", "report", "workers", "cluster")
"""Options that do not say what is in the table."""


@dataclass(frozen=True)
class Table1(Named):
    """Train, evaluate and tabulate every method; what is finished is skipped, what was interrupted goes on."""

    seeds: int = 1
    """Seeds 0, 1, ... of each method."""
    device: str = "auto"
    """cpu, cuda, cuda:1, ...; auto takes a GPU where there is one."""
    workers: int | None = None
    """Runs side by side. As many as GPUs, or cores, if not given."""
    plan: bool = False
    """Print what would run, with estimates of time and memory, and stop."""
    report: bool = False
    """Only make the tables and figures again from the records that are there."""
    cluster: str = "local"
    """local: workers on this machine. debug: one after the other in this process. slurm: job arrays (docs/slurm.md)."""
    slurm: SlurmOptions = field(default_factory=SlurmOptions)
    """Resources and sbatch parameters, for the cluster slurm."""


def main(options: Table1) -> int:
    """Exit status: 0 all done or submitted, 1 if a run failed (the table says which and why)."""
    choose(dict.fromkeys(CLUSTERS), options.cluster, "cluster")
    options = replace(options, methods=in_order(options.methods, options.profile))
    cells = cells_of(options)
    runs = options.out / "runs"
    if options.cluster == "slurm" and not options.report:
        if options.plan:
            print(plan.describe(cells, runs, options.slurm))
            return 0
        if launch(launched(options, cells)) is not None or not all(finished(cell, runs) for cell in cells):
            return 0  # the job that collects makes the table
    elif options.plan:
        print(describe(cells, runs, options.workers, options.device))
        return 0
    elif options.report:
        refuse_other_settings(cells, runs)
    elif options.cluster == "debug":
        prepare(cells, runs, options.device)
        run_here(cells, runs)
    else:
        prepare(cells, runs, options.device)
        run_local(cells, runs, options.workers, options.device)
    for path in write_report(options.out / table_name(options), cells, runs, command(options)):
        print(path)
    print(summary(cells, runs))
    failed = [cell.run_name for cell in cells if not finished(cell, runs)]
    if failed:
        print(f"{len(failed)} of {len(cells)} runs have no result; the table says why", file=sys.stderr)
    return 1 if failed else 0


def cells_of(options: Table1) -> list[Cell]:
    """The runs that the options declare, in the order of the table's rows."""
    return table1_cells(
        options.profile,
        options.seeds,
        names(options.methods),
        options.dataset,
        options.device,
        evaluate=evaluate_changes(options),
        external=load_external(options.external or EXTERNAL),
        engine=options.engine,
    )


def launched(options: Table1, cells: Sequence[Cell]) -> Table:
    """The table as Slurm's launcher takes it."""
    return Table(table_name(options), cells, options.out, options.slurm, command(options), stored(options))


def stored(options: Table1) -> dict[str, Any]:
    """Plain values that `restored` makes the options from again, in any folder; where results go is not among them."""
    external = None if options.external is None else str(options.external.absolute())
    values = {f.name: getattr(options, f.name) for f in fields(options) if f.name not in LEFT_OUT}
    return values | {"external": external, "slurm": to_dict(options.slurm)}


def restored(values: Mapping[str, Any], out: Path) -> Table1:
    """The inverse; raises ConfigError for options that this version does not know."""
    options = from_dict(Table1, {**values, "external": None})
    return replace(options, external=Path(values["external"]) if values["external"] else None, out=out)


def refuse_other_settings(cells: Sequence[Cell], runs: Path) -> None:
    """Raise ConfigError, before a table is replaced, where no run has a result that was measured as is asked."""
    if not any(finished(cell, runs) for cell in cells):
        raise ConfigError(
            f"{runs}: no run of this table has a result, or they were measured in another way. Give make report the "
            "variables that make table1 had (PROTOCOLS, SAMPLING_SEEDS, FEATURES, ...), or run make table1 again"
        )
    other = [c.run_name for c in cells if (runs / c.run_name / "record.json").exists() and not finished(c, runs)]
    measured = [name for name in other if (read_record(runs / name) or {}).get("status") in FINAL]
    if measured:
        raise ConfigError(
            f"{len(measured)} of {len(cells)} runs were measured in another way than this table asks, such as "
            f"{measured[0]}. Give make report the variables that make table1 had (PROTOCOLS, SAMPLING_SEEDS, FEATURES, "
            "...), or run make table1, which measures what is missing and trains nothing again"
        )


def evaluate_changes(options: Table1) -> dict[str, Any]:
    """The fields of EvaluateConfig that the command asks for."""
    changes: dict[str, Any] = {"features": options.features, "sampling_seeds": options.sampling_seeds}
    if options.protocols:
        changes["protocols"] = tuple(p.strip() for p in options.protocols.split(","))
        require("clean" in changes["protocols"], "PROTOCOLS: a table compares by the protocol clean; give clean,paper")
    return {name: value for name, value in changes.items() if value is not None}


def summary(cells: Sequence[Cell], runs: Path) -> str:
    """A line a row for the terminal: the distance of fresh chains, mean and standard deviation over the seeds."""
    table = table1(cells, load_cells(runs, cells)).values
    lines = ["", "Frechet distance, fresh chains:"]
    for _, row in table.iterrows():
        spread = "" if pd.isna(row["fid_fresh_std"]) else f" +- {row['fid_fresh_std']:.2f}"
        value = f"{row['fid_fresh_mean']:.2f}{spread}" if row["n"] else "-"
        lines.append(f"  {row['title']:<24}{value:>16}  ({row['n']} of {row['runs']} runs)")
    return "\n".join(lines)


def command(options: Table1) -> str:
    """The command that makes this table again."""
    given = {"SEEDS": options.seeds, "PROFILE": options.profile, "METHODS": options.methods, "DATASET": options.dataset}
    given |= {"FEATURES": options.features, "PROTOCOLS": options.protocols, "SAMPLING_SEEDS": options.sampling_seeds}
    given |= {"ENGINE": options.engine, "EXTERNAL": options.external}
    defaults = {"SEEDS": 1, "PROFILE": "quick", "METHODS": "", "DATASET": None}
    defaults |= {"FEATURES": None, "PROTOCOLS": "", "SAMPLING_SEEDS": None, "ENGINE": None, "EXTERNAL": None}
    return " ".join(["make table1", *(f"{k}={v}" for k, v in given.items() if v != defaults[k])])
