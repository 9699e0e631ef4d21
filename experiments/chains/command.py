"""python -m experiments chains: fresh chains and the replay buffer, per restart rate and half-life of the average."""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from pathlib import Path

from baselines import METHODS, SUBJECT
from clel.config import choose, require
from clel.data.side import at_side
from clel.runs.config import choose_method
from experiments.chains.figures import chains_figure
from experiments.chains.rows import load_rows
from experiments.chains.table import chains_table, summary
from experiments.printing.drawing import drawn
from experiments.printing.files import write_files
from experiments.reading.paths import absolute
from experiments.runs.chains.settings import SIZES, ChainsRun, chains_run
from experiments.sweep.grid import PROFILES, Cell
from experiments.sweep.launch import has_result, prepare
from experiments.sweep.local import run_local
from experiments.sweep.meaning import Meaning
from experiments.sweep.naming import OUT


@dataclass(frozen=True)
class Chains:
    """Train a method with several restart rates and weight averages, and follow fresh chains of each over many steps.

    What is finished is skipped, what was interrupted goes on.
    """

    method: str = SUBJECT
    """The method; one with a replay buffer and Langevin chains."""
    restarts: tuple[float, ...] = ()
    """Probabilities that a training chain starts anew from noise. The profile's if not given."""
    cooldown: float | None = None
    """The largest of these is trained again with a learning rate that falls to 0 over this last share of iterations;
    0 for no such training. The profile's if not given."""
    seeds: int | None = None
    """Seeds 0, 1, ... of each. The profile's if not given."""
    profile: str = "quick"
    """quick or evening (the method's preset of that name), or smoke (a few iterations, to see that all works)."""
    dataset: str | None = None
    """Data set: a name or a path. The profile's own if not given."""
    device: str = "auto"
    """cpu, cuda, cuda:1, ...; auto takes a GPU where there is one."""
    workers: int | None = None
    """Runs side by side. As many as GPUs, or cores, if not given."""
    out: Path = OUT
    """Folder for runs/<run> and chains/chains.csv, .md and .png."""
    paper: bool = False
    """Figures also as PDF, at the width of a paper's column."""
    report: bool = False
    """Only make the table and the figure again from the runs that are there."""


def main(options: Chains) -> int:
    """Exit status: 0 all done, 1 if a run failed."""
    options = completed(options)
    cells, runs = chains_cells(options), options.out / "runs"
    folder = options.out / ("chains" if options.profile == "quick" else f"chains-{options.profile}")
    meaning(options).refuse_another(folder)
    if not options.report:
        prepare(cells, runs, options.device, folder)
        meaning(options).claim(folder)
        run_local(cells, runs, options.workers, options.device)
    failed = [cell.run_name for cell in cells if not has_result(cell, runs)]
    rows = load_rows(cells, runs)
    if len(rows):
        meaning(options).claim(folder)
        short = summary(rows)
        contents = {"chains.csv": rows.to_csv(index=False, lineterminator="\n"), "chains_summary.md": short}
        write_files(folder, {**contents, "chains.md": chains_table(rows), **drawn("chains", chains_figure(rows))})
        print(short)
        print(folder)
    if failed:
        print(f"{len(failed)} of {len(cells)} runs have no result: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


def completed(options: Chains) -> Chains:
    """The options with what the profile says where they say nothing; raises ConfigError for an unknown profile."""
    size, profile = choose(SIZES, options.profile, "profile"), PROFILES[options.profile]
    return replace(
        options,
        restarts=options.restarts or size.restarts,
        cooldown=size.cooldown if options.cooldown is None else options.cooldown,
        seeds=size.seeds if options.seeds is None else options.seeds,
        dataset=at_side(options.dataset or profile.dataset, profile.side),
    )


def meaning(options: Chains) -> Meaning:
    """What the table is of."""
    names = ("method", "restarts", "cooldown", "seeds", "profile")
    given = {name: getattr(options, name) for name in names} | {"dataset": absolute(options.dataset)}
    return Meaning("chains", given, "chains.md")


def chains_cells(options: Chains) -> list[Cell]:
    """A cell for each setting of training and seed, in this order; raises ConfigError for what cannot be studied."""
    options = completed(options)
    assert options.dataset is not None and options.seeds is not None  # completed
    require(options.seeds >= 1, f"seeds is {options.seeds}; expected at least 1")
    preset, measured = PROFILES[options.profile].presets[0], SIZES[options.profile].measured
    title = choose_method(METHODS, options.method).title
    cells = []
    settings = [(restart, 0.0) for restart in options.restarts]
    if options.cooldown:
        settings.append((max(options.restarts), options.cooldown))
    for restart, cooldown in settings:
        for seed in range(options.seeds):
            run = chains_run(
                options.method, restart, seed, options.dataset, options.device, cooldown, preset, **measured
            )
            run = shortened(run) if options.profile == "smoke" else run
            cells.append(Cell(f"{restart:g}-{cooldown:g}", title, options.profile, run))
    return cells


def shortened(run: ChainsRun) -> ChainsRun:
    """The smoke profile's: Table 1's few iterations, few chains and steps."""
    cut = dict(PROFILES["smoke"].cut_train) | {"evaluate_every": 0}
    train = replace(run.train, **cut)
    return replace(run, run=replace(run.run, train=train), chains=100, steps=(1, 2, 3), snapshots=2, snapshot_every=1)
