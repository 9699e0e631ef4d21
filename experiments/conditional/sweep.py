"""python -m experiments conditional-sweep: every setting of guidance on seeds that no table reports, and the choice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from baselines import METHODS
from clel.config import require
from clel.data import load
from clel.runs.config import Run
from clel.storage.atomic import refuse_unwritable, write_atomically
from experiments.conditional.command import dataset_of, each, refuse_unlabelled
from experiments.conditional.figures import sweep_figure
from experiments.conditional.judge import judge_names
from experiments.conditional.measure import Conditional, measure_run
from experiments.conditional.settings import KEPT, ROWS, GuidedLine, as_csv, best, read_sweep, tried
from experiments.conditional.table import least_share, sweep_grid, sweep_lines
from experiments.measured.artefact import Artefact, Found, Measuring, page, tex
from experiments.printing.drawing import drawn
from experiments.sweep.grid import Cell, table1_cells, with_seeds
from experiments.tune.grids import trying_of

MOST = 2
"""Seeds of the sweep, at most: the last ones of the profile's trials."""


@dataclass(frozen=True)
class SweepOptions(Measuring):
    """Measure every setting of guided chains on the seeds of trials, and say which one the rule chooses."""

    each: int | None = None
    """Chains a class; 100 if not given, in smoke 8."""
    keep: bool = False
    """Write the lines into experiments/conditional/sweep.csv, from which make conditional takes its settings."""


class ConditionalSweep(Artefact[SweepOptions]):
    """The artefact `conditional-sweep`."""

    name = "conditional-sweep"
    options = SweepOptions

    def completed(self, options: SweepOptions) -> SweepOptions:
        require(options.seeds == 1, "SEEDS: the sweep has seeds of its own, which no table reports")
        require(options.each is None or options.each >= 1, f"EACH={options.each}: expected at least 1")
        refuse_unlabelled(load(dataset_of(options), "train"))
        if options.keep:
            refuse_unwritable(KEPT)
        return options

    def cells_of(self, options: SweepOptions) -> list[Cell]:
        cells = table1_cells(options.profile, 1, ROWS, options.dataset, options.device)
        seeds = trying_of(options.profile).seeds[-1 if options.profile == "smoke" else -MOST :]
        return [c for cell in cells if isinstance(cell.run, Run) for c in with_seeds(cell, seeds)]

    def protocols(self, options: SweepOptions, cell: Cell) -> Sequence[Conditional]:
        _, judge = judge_names(load(cell.dataset, "train"))
        settings = tried(cell.row, cell.measured.steps)
        features = cell.measured.features
        return [Conditional(guidance, each(options), judge, features, looked=False) for guidance in settings]

    def measure(self, cell: Cell, folder: Path, protocol: Conditional) -> dict[str, Any]:
        return measure_run(folder, protocol)[0]

    def contents(self, options: SweepOptions, found: Sequence[Found], above: Sequence[str]) -> dict[str, str | bytes]:
        lines = lines_of(found)
        if options.keep and lines:
            mine = (lines[0].profile, lines[0].dataset)
            others = [line for line in read_sweep(KEPT) if (line.profile, line.dataset) != mine]
            write_atomically(KEPT, as_csv([*others, *lines]))
        header, grid = sweep_lines(found, above), sweep_grid(lines)
        contents: dict[str, str | bytes] = {
            "conditional-sweep.md": page(header, grid),
            "conditional-sweep.tex": tex(header, grid),
            "conditional-sweep.csv": as_csv(lines),
        }
        if lines:
            contents |= drawn("figures/conditional_sweep", sweep_figure(lines))
        return contents

    def words(self, options: SweepOptions, found: Sequence[Found]) -> list[str]:
        lines = lines_of(found)
        chosen = {row: best([line for line in lines if line.row == row]) for row in ROWS}
        return ["Chosen:", *(f"  {METHODS[row].title}: {guidance}" for row, guidance in chosen.items())]


def lines_of(found: Sequence[Found]) -> list[GuidedLine]:
    """What was measured, as lines of the sweep."""
    return [line_of(one) for one in found if one.values is not None]


def line_of(one: Found) -> GuidedLine:
    """A measurement as a line of the sweep."""
    assert one.values is not None
    guidance = one.protocol.guidance
    return GuidedLine(
        one.cell.profile,
        one.cell.dataset,
        one.cell.row,
        one.cell.seed,
        guidance.weight,
        guidance.steps,
        guidance.centred,
        guidance.spread,
        guidance.restarts,
        one.values["accuracy"],
        least_share(one.values) or 0.0,
        str(one.run.part("provenance").get("finished")),
    )


SWEEP = ConditionalSweep()
