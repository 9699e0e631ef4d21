"""python -m experiments conditional: classes drawn by a CLEL that was trained without labels, judged."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from clel.config import identity, require
from clel.data import Images, load
from clel.data.side import at_side
from clel.runs.config import Run
from clel.sampling.conditional import Guidance
from clel.storage.atomic import naming_damage, write_atomically
from experiments.conditional.figures import confusions_figure, samples_figure
from experiments.conditional.judge import judge_names
from experiments.conditional.measure import Conditional, measure_real, measure_run
from experiments.conditional.settings import ROWS, chosen
from experiments.conditional.table import about, complete, conditional_grid
from experiments.measured.artefact import Artefact, Found, Measuring, found_by_row, page, tex
from experiments.printing.drawing import drawn
from experiments.sweep.archive import MEASURED
from experiments.sweep.grid import PROFILES, Cell, table1_cells


@dataclass(frozen=True)
class ConditionalOptions(Measuring):
    """Draw every class from CLEL and, with a classifier's gradient, from the plain EBM; judge the images.

    Settings that are not given are those that make conditional-sweep chose (experiments/conditional/sweep.csv).
    """

    weight: float | None = None
    """w, how hard CLEL's latents pull."""
    steps: int | None = None
    """Langevin steps of the guided chains."""
    centred: bool | None = None
    """Take the mean of all latents off a class's first."""
    spread: float | None = None
    """How hard each of CLEL's chains is pulled to one image of its class too, as a share of the pull to the class."""
    restarts: int | None = None
    """Times that CLEL's chains start anew whose u(x) or h(x) is nearer to another class."""
    start: Literal["noise", "buffer"] = "noise"
    """Where chains begin: uniform noise, or the replay buffer of training."""
    rounds: int = 1
    """Parts that the steps are divided into, for DISTURBED."""
    disturbed: bool = False
    """Before each round disturb the chains as the method's authors do."""
    each: int | None = None
    """Chains a class; 100 if not given, in smoke 8."""


class ConditionalTable(Artefact[ConditionalOptions]):
    """The artefact `conditional`."""

    name = "conditional"
    options = ConditionalOptions

    def completed(self, options: ConditionalOptions) -> ConditionalOptions:
        require(options.each is None or options.each >= 1, f"EACH={options.each}: expected at least 1")
        refuse_unlabelled(load(dataset_of(options), "train"))
        for row in ROWS:
            self.guidance(options, row)
        return options

    def cells_of(self, options: ConditionalOptions) -> list[Cell]:
        cells = table1_cells(options.profile, options.seeds, ROWS, options.dataset, options.device)
        return [cell for cell in cells if isinstance(cell.run, Run) or cell.row == "real"]

    def guidance(self, options: ConditionalOptions, row: str) -> Guidance:
        """The settings of a row: those that are given, otherwise the chosen ones."""
        found, _ = chosen(options.profile, dataset_of(options), row)
        cut = dict(PROFILES[options.profile].cut_evaluate).get("steps")
        steps = options.steps or cut or found.steps
        found = replace(found, steps=steps, start=options.start, rounds=options.rounds, disturbed=options.disturbed)
        if row == ROWS[0]:  # the others are guided by a classifier, whose weight is another thing
            weight = found.weight if options.weight is None else options.weight
            centred = found.centred if options.centred is None else options.centred
            spread = found.spread if options.spread is None else options.spread
            restarts = found.restarts if options.restarts is None else options.restarts
            found = replace(found, weight=weight, centred=centred, spread=spread, restarts=restarts)
        return found

    def protocols(self, options: ConditionalOptions, cell: Cell) -> Sequence[Conditional]:
        judge, _ = judge_names(load(cell.dataset, "train"))
        row = cell.row if isinstance(cell.run, Run) else ROWS[0]
        return [Conditional(self.guidance(options, row), each(options), judge, cell.measured.features)]

    def measure(self, cell: Cell, folder: Path, protocol: Conditional) -> dict[str, Any]:
        given = not isinstance(cell.run, Run)
        values, pixels = measure_real(cell.dataset, protocol) if given else measure_run(folder, protocol)
        shown = pixels.view(len(values["classes"]), -1, *pixels.shape[1:])[:, :8]
        memory = io.BytesIO()
        np.save(memory, shown.numpy())
        write_atomically(shown_at(folder, protocol), memory.getvalue())
        return values

    def contents(
        self, options: ConditionalOptions, found: Sequence[Found], above: Sequence[str]
    ) -> dict[str, str | bytes]:
        swept = all(chosen(options.profile, dataset_of(options), row)[1] for row in ROWS)
        lines, grid = about(found, above, swept), conditional_grid(found)
        contents: dict[str, str | bytes] = {
            "conditional.md": page(lines, grid),
            "conditional.tex": tex(lines, grid),
            "conditional.csv": complete(found),
        }
        measured = [one for one in found if one.values is not None]
        if measured:
            shown = [(own[0], shown_in(own[0])) for own in found_by_row(measured).values()]
            contents |= drawn("figures/conditional_confusion", confusions_figure(measured))
            contents |= drawn("figures/conditional_samples", samples_figure(shown))
        return contents

    def words(self, options: ConditionalOptions, found: Sequence[Found]) -> list[str]:
        lines = ["Judged to be of the class that was asked for (mean over the classes):"]
        for own in found_by_row(found).values():
            values = [one.values["accuracy"] for one in own if one.values is not None]
            lines.append(f"  {own[0].cell.title:<24}{', '.join(f'{v:.3f}' for v in values) or '-'}")
        return lines


def dataset_of(options: Measuring) -> str:
    """The data set that is meant."""
    size = PROFILES[options.profile]
    return at_side(options.dataset or size.dataset, size.side)


def each(options: Any) -> int:
    """Chains a class."""
    return options.each or (8 if options.profile == "smoke" else 100)


def refuse_unlabelled(images: Images) -> None:
    """Raise ConfigError, before anything is trained, for images without labels."""
    known = images.labels is not None and len(images.classes) > 1
    require(known, f"{images.name}: no labels of two or more classes, of which class latents are made")


def shown_at(folder: Path, protocol: Conditional) -> Path:
    """The file of the chains that figures show: uint8 [K, 8, C, H, W]."""
    return folder / MEASURED / f"conditional-{identity(protocol)}.npy"


def shown_in(one: Found) -> Any:
    """These chains, None where the file is gone."""
    path = shown_at(one.run.folder, one.protocol)
    with naming_damage(path, "remove it, and the figure is made without it"):
        return np.load(path, allow_pickle=False) if path.is_file() else None


CONDITIONAL = ConditionalTable()
