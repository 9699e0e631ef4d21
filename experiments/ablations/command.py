"""make ablations: CLEL with a part taken away or exchanged, beside the default; and the ladder of Table 1b."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from baselines import METHODS, SUBJECT
from clel.runs.config import Run as Configured
from experiments.ablations import measure
from experiments.ablations.figures import ablations_figure
from experiments.ablations.results import by_run, results
from experiments.ablations.rows import STUDIES, cells_of, studies, study_names
from experiments.ablations.table import about, outcome_lines, study_grid
from experiments.measured.artefact import Artefact, Found, Measuring, sections
from experiments.ood.sets import available
from experiments.printing.drawing import drawn
from experiments.sweep.grid import Cell
from experiments.sweep.store import load_cells


@dataclass(frozen=True)
class AblationsOptions(Measuring):
    """Train CLEL with a part taken away or exchanged, and the ladder of Table 1b; compare each with the default."""

    studies: str = ""
    """Studies, separated by commas: components, beta, encoder, energy, negatives, ladder. All if not given."""
    ood: str = ""
    """Set of images for the AUROC, a name of make ood; none for distances alone. The profile's if not given."""


class Ablations(Artefact[AblationsOptions]):
    """Ablations (the paper's Tables 3, 4 and 5, footnote 1), and the ladder of its Table 1b."""

    name = "ablations"
    options = AblationsOptions

    def completed(self, options: AblationsOptions) -> AblationsOptions:
        wanted = study_names(options.studies)
        options = replace(options, studies="" if len(wanted) == len(STUDIES) else ",".join(wanted))
        cells = self.cells_of(options)
        for run in {cell.row: cell.run for cell in cells}.values():
            if isinstance(run, Configured):
                METHODS[run.method].require_inputs(run.config)
        against = against_of(options)
        if against is not None:
            available(cells[0].dataset, (against,))
        return options

    def cells_of(self, options: AblationsOptions) -> list[Cell]:
        wanted = study_names(options.studies)
        return cells_of(options.profile, wanted, options.seeds, options.dataset, options.device)

    def protocols(self, options: AblationsOptions, cell: Cell) -> Sequence[measure.AblatedDetection]:
        against = against_of(options)
        return [] if against is None else [measure.AblatedDetection(against, measure.score_of(cell))]

    def measure(self, cell: Cell, folder: Path, protocol: Any) -> dict[str, Any]:
        return measure.measure_run(cell, folder, protocol)

    def found(self, options: AblationsOptions, measure: bool = True) -> list[Found]:
        """With distances alone there is nothing to measure: the runs' own records have them."""
        if against_of(options) is not None:
            return super().found(options, measure)
        cells = self.cells_of(options)
        held = load_cells(options.out / "runs", cells, self.kept_runs(options))
        return [Found(cell, held[cell.run_name], None, {}) for cell in cells]

    def contents(
        self, options: AblationsOptions, found: Sequence[Found], above: Sequence[str]
    ) -> dict[str, str | bytes]:
        own = studies(options.profile, study_names(options.studies))
        frame = results(own, found, self.speed(options))
        lines = [*about(frame, found, found[0].cell.title, against_of(options)), *above]
        grids = {study.question: study_grid(study, frame, found) for study in own}
        text, latex = sections(lines, grids)
        runs = by_run(found)
        return {
            "ablations.md": text,
            "ablations.tex": latex,
            "ablations.csv": frame.to_csv(index=False, lineterminator="\n"),
            "ablations_runs.csv": runs.to_csv(index=False, lineterminator="\n"),
            **drawn("figures/ablations", ablations_figure(own, frame, runs, SUBJECT)),
        }

    def words(self, options: AblationsOptions, found: Sequence[Found]) -> list[str]:
        own = studies(options.profile, study_names(options.studies))
        return outcome_lines(own, results(own, found, self.speed(options)))

    def speed(self, options: AblationsOptions) -> Path:
        """What `make speed-memory` has of the profile."""
        return options.out / options.profile / "speed_memory.csv"

    def folder(self, options: AblationsOptions) -> Path:
        """Beside Table 1's of the profile; with what is not as usual in its name."""
        base = super().folder(options)
        parts = [base.name, *options.studies.split(","), *([f"ood-{options.ood}"] if options.ood else [])]
        return base.with_name("-".join(filter(None, parts)))


def against_of(options: AblationsOptions) -> str | None:
    """The set of the AUROC; None where only distances are asked for."""
    return None if options.ood == measure.NONE else options.ood or measure.against(options.profile)
