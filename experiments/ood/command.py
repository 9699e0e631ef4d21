"""make ood: images out of distribution told from the test images by the energies of trained runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from baselines import METHODS
from clel.config import choose, require
from clel.methods.method import Method
from experiments.measured.artefact import Artefact, Found, Measuring, found_by_row, sections, with_training
from experiments.ood import measure
from experiments.ood.figures import betas_figure, blurs_figure, energies_figure
from experiments.ood.measure import BETA, SCORES, Detecting
from experiments.ood.preparations import PREPARATIONS, SUITE
from experiments.ood.rows import as_frame, block_means
from experiments.ood.sets import SETS, available
from experiments.ood.table import about, reported_grid, sets_grid, summary_grid
from experiments.printing.drawing import drawn
from experiments.printing.numbers import spread
from experiments.sweep.grid import PROFILES, Cell, table1_cells
from experiments.sweep.naming import names_in


@dataclass(frozen=True)
class OodOptions(Measuring):
    """Tell images out of distribution from the test images by the energies of trained runs; train what is missing."""

    methods: str = ""
    """Methods, separated by commas, as METHODS of Table 1. All that have an energy if not given."""
    sets: str = ""
    """Sets of images out of distribution, separated by commas. All that are there if not given."""
    preparation: str = SUITE
    """How images are prepared: suite, or as the code of clel, igebm, icd (Improved CD) or jem does it."""
    beta: float = BETA
    """beta of E(x, h(x)) in the table; the figure has a range of it."""


class Ood(Artefact[OodOptions]):
    """Detection of images out of distribution (CLEL section 4.3, Table 1c)."""

    name = "ood"
    options = OodOptions

    def completed(self, options: OodOptions) -> OodOptions:
        require(options.beta >= 0, f"BETA is {options.beta:g}; expected 0 or more")
        choose(PREPARATIONS, options.preparation, "preparation")
        for name in names_in(options.sets):
            choose(SETS, name, "set of images out of distribution")
        dataset = self.cells_of(options)[0].dataset
        found, notes = sets_of(options, dataset)
        require(bool(found), f"no set of images out of distribution is there: {'; '.join(notes)}")
        return options

    def cells_of(self, options: OodOptions) -> list[Cell]:
        asked = names_in(options.methods)
        for row in asked:
            name = row.partition(":")[0]
            require(
                name not in METHODS or has_energy(METHODS[name]),
                f"{name} defines no energy of an image, so that there is no score; methods with one: "
                f"{', '.join(key for key, method in METHODS.items() if has_energy(method))}",
            )
        choose(PROFILES, options.profile, "profile")
        methods = {key: method for key, method in METHODS.items() if has_energy(method)}
        cells = table1_cells(
            options.profile,
            options.seeds,
            asked,
            options.dataset,
            options.device,
            methods=METHODS if asked else methods,
            rates=False,
        )
        return with_training(cells)

    def protocols(self, options: OodOptions, cell: Cell) -> Sequence[Detecting]:
        found, _ = sets_of(options, cell.dataset)
        return [Detecting(found, options.preparation, options.beta)]

    def measure(self, cell: Cell, folder: Path, protocol: Any) -> dict[str, Any]:
        return measure.measure_run(folder, protocol, getattr(cell.run, "device", "auto"))

    def contents(self, options: OodOptions, found: Sequence[Found], above: Sequence[str]) -> dict[str, str | bytes]:
        frame, rows = as_frame(found), found_by_row(found)
        titles = [(row, members[0].cell.title) for row, members in rows.items()]
        failed = [f"{one.cell.run_name}: {one.run.status}" for one in found if one.values is None]
        _, notes = sets_of(options, found[0].cell.dataset)
        lines = [*about(found, frame, notes), *([f"Without a result: {'; '.join(failed)}."] if failed else []), *above]
        grids = {
            "Near and far": summary_grid(frame, titles),
            "Each set": sets_grid(found, frame, titles),
            "What papers report": reported_grid(),
        }
        text, latex = sections(lines, grids)
        return {
            "ood.md": text,
            "ood.tex": latex,
            "ood.csv": frame.to_csv(index=False),
            **drawn("figures/ood_energies", energies_figure(rows)),
            **drawn("figures/ood_beta", betas_figure(rows)),
            **drawn("figures/ood_blur", blurs_figure(rows)),
        }

    def words(self, options: OodOptions, found: Sequence[Found]) -> list[str]:
        frame = as_frame(found)
        lines = ["AUROC, mean over near sets and over far sets:"]
        for row, members in found_by_row(found).items():
            for score in ("energy", "joint"):
                near, far = (block_means(frame, row, block, score) for block in ("near", "far"))
                if score == "energy" or len(near) + len(far):
                    text = f"{members[0].cell.title}, {SCORES[score]}"
                    lines.append(f"  {text:<34}{spread(near, 3):>16}{spread(far, 3):>16}")
        return lines

    def folder(self, options: OodOptions) -> Path:
        """Beside Table 1's of the profile; with what is not as usual in its name."""
        base = super().folder(options)
        parts = [base.name, *names_in(options.methods), *names_in(options.sets)]
        parts += [f"as-{options.preparation}"] * (options.preparation != SUITE)
        parts += [f"beta-{options.beta:g}"] * (options.beta != BETA)
        return base.with_name("-".join(part.replace(":", "-") for part in parts))


def sets_of(options: OodOptions, dataset: str) -> tuple[tuple[str, ...], list[str]]:
    """The sets of a table of this data set, and what is left out; see `available`."""
    return available(dataset, tuple(names_in(options.sets)), options.preparation)


def has_energy(method: type[Method]) -> bool:
    """Whether a method defines the energy of an image."""
    return method.energy is not Method.energy
