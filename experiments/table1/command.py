"""Table 1: sample quality of every method, on one data set, with its cost (the paper's Table 1)."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import pandas as pd

from clel.config import ConfigError, choose, from_dict, require, to_dict
from clel.evaluation.feature_choice import asked
from clel.runs.record import FINAL, read_record
from experiments.plan.plan import describe_plan
from experiments.printing.chosen import write_columns
from experiments.runs.external import EXTERNAL, load_external
from experiments.slurm import plan
from experiments.slurm.launch import Launch, launch
from experiments.sweep.archive import RECORDS, archive_in_words, archived, not_kept
from experiments.sweep.grid import Cell, table1_cells
from experiments.sweep.launch import has_result, prepare
from experiments.sweep.launching import CLUSTERS, Launching, run_on_this_machine
from experiments.sweep.naming import PROJECT, Named, in_order, names_in, table1_meaning, table_name
from experiments.sweep.store import Stored, load_cells
from experiments.sweep.variants import parse_settings
from experiments.table1.comparisons.compare import compare_rows
from experiments.table1.comparisons.table import closing
from experiments.table1.report import write_report
from experiments.table1.table import table1

LEFT_OUT = ("out", "plan", "report", "archive", "columns", "paper", "workers", "runs_per_gpu", "cluster")
"""Options that do not say what is in the table."""


@dataclass(frozen=True)
class Table1(Launching, Named):
    """Train, evaluate and tabulate every method; what is finished is skipped, what was interrupted goes on."""

    project: bool = False
    """Take what is missing from the project's own runs (results/project/records), marked as such, where it is there."""
    archive: bool = False
    """Only keep, in OUT/records, what tables and figures show of the finished runs; it can be committed."""


def main(options: Table1) -> int:
    """Exit status: 0 all done or submitted, 1 if a run failed (the table says which and why)."""
    choose(dict.fromkeys(CLUSTERS), options.cluster, "cluster")
    options = replace(options, methods=in_order(options.methods, options.profile))
    cells, runs, folder = cells_of(options), options.out / "runs", options.out / table_name(options)
    if options.archive:
        print(archive_in_words(cells, runs, options.out))
        return 0
    meaning = table1_meaning(options, command(options))
    meaning.refuse_another(folder)
    kept = archived(cells, runs) if options.project else {}
    cells, all_cells = not_kept(cells, kept), cells
    if options.project:
        print(f"{len(all_cells) - len(cells)} of {len(all_cells)} runs are the project's: {RECORDS}", file=sys.stderr)
    if options.cluster == "slurm" and not options.report:
        if options.plan:
            print(plan.describe_arrays(cells, runs, options.slurm))
            return 0
        sweep = launch(launched(options, cells))
        meaning.claim(folder)
        if sweep is not None or not all(has_result(cell, runs) for cell in cells):
            return 0  # the job that collects makes the table
    elif options.plan:
        print(describe_plan(cells, runs, options.workers, options.device, options.runs_per_gpu))
        return 0
    elif options.report:
        if not kept:
            refuse_other_settings(cells, runs)
    else:
        prepare(cells, runs, options.device, folder)
        meaning.claim(folder)
        run_on_this_machine(cells, runs, options)
    for path in write(options, command(options)):
        print(path)
    for path in write_columns(folder / "table1.md", options.columns) if options.columns else ():
        print(path)
    print(summary(options))
    failed = [cell.run_name for cell in cells if not has_result(cell, runs)]
    if failed:
        print(f"{len(failed)} of {len(all_cells)} runs have no result; the table says why", file=sys.stderr)
    return 1 if failed else 0


def cells_of(options: Table1) -> list[Cell]:
    """The runs that the options declare, in the order of the table's rows."""
    return table1_cells(
        options.profile,
        options.seeds,
        names_in(options.methods),
        options.dataset,
        options.device,
        evaluate=evaluate_changes(options),
        external=load_external(options.external or EXTERNAL),
        engine=options.engine,
        settings=parse_settings(options.set),
        rates=options.rates,
        minutes=options.minutes,
    )


def write(options: Table1, again: str) -> list[Path]:
    """Write table and figures from what the runs have come to; return their paths. again: the command to print."""
    cells, runs, folder = cells_of(options), options.out / "runs", options.out / table_name(options)
    table1_meaning(options, again).claim(folder)
    return write_report(folder, cells, runs, again, archived(cells, runs) if options.project else {})


def launched(options: Table1, cells: Sequence[Cell]) -> Launch:
    """The table as Slurm's launcher takes it."""
    return Launch(table_name(options), cells, options.out, options.slurm, command(options), stored(options))


def stored(options: Table1) -> dict[str, Any]:
    """Plain values that `restored` makes the options from again, in any folder; where results go is not among them."""
    external = None if options.external is None else str(options.external.absolute())
    values = {f.name: getattr(options, f.name) for f in fields(options) if f.name not in LEFT_OUT}
    return values | {"external": external, "slurm": to_dict(options.slurm)}


def restored(values: Mapping[str, Any], out: Path) -> Table1:
    """The inverse; raises ConfigError for options that this version does not know."""
    external = values.get("external")
    options = from_dict(Table1, {name: value for name, value in values.items() if name != "external"})
    return replace(options, external=Path(external) if external else None, out=out)


def refuse_other_settings(cells: Sequence[Cell], runs: Path) -> None:
    """Raise ConfigError, before a table is replaced, where no run has a result that was measured as is asked."""
    if not any(has_result(cell, runs) for cell in cells):
        raise ConfigError(
            f"{runs}: no run of this table has a result, or they were measured in another way. Give make report the "
            "variables that make table1 had (PROTOCOLS, SAMPLING_SEEDS, FEATURES, ...), or run make table1 again"
        )
    other = [c.run_name for c in cells if (runs / c.run_name / "record.json").exists() and not has_result(c, runs)]
    measured = [name for name in other if (read_record(runs / name) or {}).get("status") in FINAL]
    if measured:
        raise ConfigError(
            f"{len(measured)} of {len(cells)} runs were measured in another way than this table asks, such as "
            f"{measured[0]}. Give make report the variables that make table1 had (PROTOCOLS, SAMPLING_SEEDS, FEATURES, "
            "...), or run make table1, which measures what is missing and trains nothing again"
        )


def evaluate_changes(options: Table1) -> dict[str, Any]:
    """The fields of EvaluateConfig that the command asks for."""
    changes: dict[str, Any] = {"sampling_seeds": options.sampling_seeds}
    if options.features:
        changes |= asked(options.features)
    if options.protocols:
        changes["protocols"] = tuple(p.strip() for p in options.protocols.split(","))
        require("clean" in changes["protocols"], "PROTOCOLS: a table compares by the protocol clean; give clean,paper")
    return {name: value for name, value in changes.items() if value is not None}


def summary(options: Table1) -> str:
    """The outcome for a terminal; see `distances_in_words`."""
    cells, runs = cells_of(options), options.out / "runs"
    return distances_in_words(cells, load_cells(runs, cells, archived(cells, runs) if options.project else {}))


def distances_in_words(cells: Sequence[Cell], records: Mapping[str, Stored]) -> str:
    """A line a row: the distance of fresh chains, mean and standard deviation over the seeds.

    Then, of rows that can be compared with the subject's, the outcome.
    """
    table = table1(cells, records).values
    lines = ["", "Frechet distance, fresh chains:"]
    for _, row in table.iterrows():
        spread = "" if pd.isna(row["fid_fresh_std"]) else f" +- {row['fid_fresh_std']:.2f}"
        value = f"{row['fid_fresh_mean']:.2f}{spread}" if row["n"] else "-"
        lines.append(f"  {row['title']:<24}{value:>16}  ({row['n']} of {row['runs']} runs)")
    return "\n".join([*lines, *closing(compare_rows(cells, records))])


def command(options: Table1) -> str:
    """The command that makes this table again."""
    given = {"SEEDS": options.seeds, "PROFILE": options.profile, "METHODS": options.methods, "DATASET": options.dataset}
    given |= {"FEATURES": options.features, "PROTOCOLS": options.protocols, "SAMPLING_SEEDS": options.sampling_seeds}
    given |= {"ENGINE": options.engine, "SET": f"'{options.set}'" if options.set else "", "EXTERNAL": options.external}
    given |= {"MINUTES": None if options.minutes is None else f"{options.minutes:g}"}
    given |= {"RATES": None if options.rates is None else int(options.rates)}
    # in the project's own table they are its runs like all others
    given |= {"PROJECT": 1 if options.project and options.out.resolve() != PROJECT.resolve() else None}
    defaults = {"SEEDS": 1, "PROFILE": "quick", "METHODS": "", "DATASET": None}
    defaults |= {"FEATURES": None, "PROTOCOLS": "", "SAMPLING_SEEDS": None, "ENGINE": None, "SET": "", "EXTERNAL": None}
    defaults |= {"MINUTES": None, "RATES": None, "PROJECT": None}
    return " ".join(["make table1", *(f"{k}={v}" for k, v in given.items() if v != defaults[k])])
