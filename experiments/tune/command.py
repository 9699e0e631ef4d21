"""python -m experiments tune: train and score the declared trials, and say what the rule chooses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from clel.config import choose, from_dict, require, to_dict
from clel.runs.config import slug
from clel.storage.atomic import refuse_unwritable, write_atomically
from experiments.measured.artefact import LEFT_OUT
from experiments.plan.plan import describe_plan
from experiments.printing.drawing import drawn
from experiments.printing.files import write_files
from experiments.printing.markup import latex_comment, titled, to_latex, to_markdown
from experiments.reading.paths import absolute, folder_part
from experiments.slurm import plan
from experiments.slurm.launch import Launch, launch
from experiments.sweep.grid import Cell
from experiments.sweep.launch import has_result, prepare
from experiments.sweep.launching import CLUSTERS, Launching, run_on_this_machine
from experiments.sweep.meaning import Meaning
from experiments.sweep.naming import OUT, in_order, names_in
from experiments.sweep.store import load_cells
from experiments.tune.figures import trials_figure
from experiments.tune.grids import trial_cells
from experiments.tune.table import about, by_method, trials_grid
from experiments.tune.trials import KEPT, Trial, as_csv, best, kept_of, read_trials, scored, trial_of


@dataclass(frozen=True)
class Tune(Launching):
    """Train every declared trial of every method on seeds that no table reports, score them, and name the best.

    What experiments/tuning.csv has of these very settings is not trained again.
    """

    profile: str = "quick"
    """Profile whose presets are tuned."""
    methods: str = ""
    """Methods, separated by commas. All if not given."""
    dataset: str | None = None
    """Data set: a name or a path. The profile's own if not given."""
    afresh: bool = False
    """Train also what experiments/tuning.csv has."""
    keep: bool = False
    """Write the trials into experiments/tuning.csv too, which the presets must agree with: for the project itself."""
    out: Path = OUT
    """Folder for runs/<run> and tune-<profile>/tuning.csv, .md, .tex and .png."""


def main(options: Tune) -> int:
    """Exit status: 0 all trained or submitted, 1 if a trial has no result."""
    choose(dict.fromkeys(CLUSTERS), options.cluster, "cluster")
    options = replace(options, methods=in_order(options.methods, options.profile))
    require(
        not options.keep or (options.profile != "smoke" and (options.report or options.cluster != "slurm")),
        "KEEP=1 keeps trials that mean something, once they have ended: not of PROFILE=smoke; on Slurm with REPORT=1, "
        "when the jobs are over",
    )
    require(
        not options.keep or "/" not in (options.dataset or ""),
        "KEEP=1 keeps trials of data sets with a name, by which its rows tell them apart; DATASET is "
        f"{options.dataset}: put it into the folder data/, or where CLEL_DATA says, and give its name",
    )
    if options.keep:
        refuse_unwritable(KEPT)
    cells, runs = to_do(options), options.out / "runs"
    meaning(options).refuse_another(options.out / folder_name(options))
    if options.cluster == "slurm" and not options.report:
        if options.plan:
            print(plan.describe_arrays(cells, runs, options.slurm))
            return 0
        if launch(launched(options, cells)) is not None:
            return 0  # the job that collects makes the table
    elif options.plan:
        print(describe_plan(cells, runs, options.workers, options.device, options.runs_per_gpu))
        return 0
    elif cells and not options.report:
        prepare(cells, runs, options.device, options.out / folder_name(options))
        run_on_this_machine(cells, runs, options)
    for path in write(options, command(options)):
        print(path)
    print(summary(options))
    return 1 if any(not has_result(cell, runs) for cell in cells) else 0


def cells_of(options: Tune) -> list[Cell]:
    """Every declared trial that the options name."""
    return trial_cells(options.profile, names_in(options.methods), options.device, dataset=options.dataset)


def to_do(options: Tune) -> list[Cell]:
    """Those that the project's own file does not have."""
    cells = cells_of(options)
    kept = {} if options.afresh else kept_of(cells, read_trials(KEPT))
    return [cell for cell in cells if cell.run_name not in kept]


def trials_of(options: Tune, cells: list[Cell]) -> dict[str, Trial]:
    """What is known of each trial by its run's name: of the runs below OUT, and otherwise of the project's file."""
    known = {} if options.afresh else kept_of(cells, read_trials(KEPT))
    runs = load_cells(options.out / "runs", cells)
    own = {c.run_name: trial_of(c, runs[c.run_name]) for c in cells if has_result(c, options.out / "runs")}
    return {**known, **own}


def write(options: Tune, again: str) -> list[Path]:
    """Write tuning.csv, .md, .tex and .png from what there is; return their paths."""
    cells = cells_of(options)
    trials = trials_of(options, cells)
    rows = scored(cells, trials)
    lines, grid = about(rows, cells, again), trials_grid(rows, options.profile)
    ordered = [trials[cell.run_name] for cell in cells if cell.run_name in trials]
    contents: dict[str, str | bytes] = {
        "tuning.md": "\n\n".join([*map(titled, lines), to_markdown(grid)]),
        "tuning.tex": latex_comment(lines) + to_latex(grid),
        "tuning.csv": as_csv(ordered),
        **drawn("figures/tuning", trials_figure(rows, options.profile)),
    }
    folder = options.out / folder_name(options)
    meaning(options).claim(folder)
    written = write_files(folder, contents)
    if options.keep:
        held = read_trials(KEPT)
        mine = trial_cells(options.profile, dataset=options.dataset)
        here = kept_of(mine, held) | trials
        data = f"-{slug(cells[0].dataset)}-s"
        others = [trial for trial in held.values() if trial.profile != options.profile or data not in trial.run]
        write_atomically(KEPT, as_csv([*others, *(here[c.run_name] for c in mine if c.run_name in here)]))
        written.append(KEPT)
    return written


def summary(options: Tune) -> str:
    """A line a method: the best trial, or how many are missing."""
    cells = cells_of(options)
    lines = ["", "Chosen, by the mean distance to held-out images:"]
    for method, own in by_method(scored(cells, trials_of(options, cells))).items():
        chosen = best(own)
        missing = sum(trial is None for row in own for trial in row.trials)
        text = f"{missing} runs are missing" if missing else "no trial ended well with every seed"
        lines.append(f"  {chosen.title} {chosen.score:.2f}" if chosen else f"  {method}: nothing yet, {text}")
    return "\n".join(lines)


def meaning(options: Tune) -> Meaning:
    """What the table of these trials is of."""
    given = {"profile": options.profile, "methods": options.methods, "afresh": options.afresh or None}
    given |= {"dataset": absolute(options.dataset)}
    return Meaning("tune", given, "tuning.md", f"`{command(options)}`")


def folder_name(options: Tune) -> str:
    """Folder of the table."""
    data = [folder_part(options.dataset)] if options.dataset else []
    return "-".join(
        ["tune", options.profile, *data, *names_in(options.methods), *(["afresh"] if options.afresh else [])]
    )


def launched(options: Tune, cells: list[Cell]) -> Launch:
    """The trials as Slurm's launcher takes them."""
    return Launch(folder_name(options), cells, options.out, options.slurm, command(options), stored(options))


def stored(options: Tune) -> dict[str, Any]:
    """Plain values that `restored` makes the options from again, in any folder; where results go is not among them."""
    values = {f.name: getattr(options, f.name) for f in fields(options) if f.name not in LEFT_OUT}
    return values | {"artefact": "tune", "slurm": to_dict(options.slurm)}


def restored(values: Mapping[str, Any], out: Path) -> Tune:
    """The inverse; raises ConfigError for options that this version does not know."""
    return replace(from_dict(Tune, {key: value for key, value in values.items() if key != "artefact"}), out=out)


def command(options: Tune) -> str:
    """The command that does this again."""
    given: dict[str, object] = {"PROFILE": options.profile, "METHODS": options.methods, "DATASET": options.dataset}
    given["AFRESH"] = 1 if options.afresh else ""
    defaults = {"PROFILE": "quick", "METHODS": "", "DATASET": None, "AFRESH": ""}
    return " ".join(["make tune", *(f"{k}={v}" for k, v in given.items() if v != defaults[k])])
