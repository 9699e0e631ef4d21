"""make compositional: attributes composed with AND and NOT by a CLEL that never saw a label of theirs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from baselines import METHODS
from clel.evaluation.feature_choice import settled
from clel.runs.config import resolve
from clel.sampling.attributes import NOT
from clel.storage.atomic import naming_damage
from experiments.compositional import sweep
from experiments.compositional.asked import Triple, composed_of, triples_of
from experiments.compositional.figures import heat_maps, sample_sheets
from experiments.compositional.measure import measure_run
from experiments.compositional.options import Compositional, checked_options, chosen_of, composed_dataset, drawing_of
from experiments.compositional.rows import as_csv, bars, rows_of
from experiments.compositional.settings import TUNING_SEEDS, Composing, tried
from experiments.compositional.table import by_attribute, by_number, figure_4b, probed_values
from experiments.measured.artefact import Artefact, Found, values_of
from experiments.measured.kept import path_of
from experiments.printing.drawing import drawn
from experiments.printing.headings import data_title
from experiments.printing.markup import Grid, latex_comment, titled, to_latex, to_markdown
from experiments.sweep.grid import PROFILES, Cell, with_seeds
from experiments.sweep.variants import with_changes

SMOKE = (("langevin.steps", 2), ("batch_size", 8), ("contrastive_batch_size", 8))
"""In the profile smoke each data set has the small networks of `shapes`, and these settings."""


class CompositionalArtefact(Artefact[Compositional]):
    """See the module."""

    name = "compositional"
    options = Compositional

    def completed(self, options: Compositional) -> Compositional:
        return checked_options(options)

    def cells_of(self, options: Compositional) -> list[Cell]:
        dataset = composed_dataset(options)
        small = options.profile == "smoke"
        preset = "shapes" if small else composed_of(dataset).preset
        run: Any = resolve(METHODS, "clel", preset, dataset=dataset, device=options.device)
        if small:
            cut = PROFILES["smoke"]
            run = with_changes(run, SMOKE)
            features = "classifier" if dataset.startswith("shapes") else "auto"
            evaluate = replace(run.evaluate, features=features, **dict(cut.cut_evaluate))
            length = {**dict(cut.cut_train), "evaluate_every": 0, "sample_every": 0}
            run = replace(run, train=replace(run.train, **length), evaluate=evaluate)
        run = replace(run, evaluate=settled(run.evaluate, dataset))
        seeds = TUNING_SEEDS[: options.seeds] if options.sweep else range(options.seeds)
        return with_seeds(Cell(f"clel:{preset}", "CLEL", options.profile, run), seeds)

    def protocols(self, options: Compositional, cell: Cell) -> Sequence[Composing]:
        declared = composed_of(cell.dataset)
        alone = () if options.asked or options.sweep else declared.alone
        triples = triples_of(options.asked, declared.triples)
        drawings = tried(cell.measured.steps) if options.sweep else [drawing_of(options)]
        return [Composing(drawing, triples, alone, options.samples, options.sweep) for drawing in drawings]

    def measure(self, cell: Cell, folder: Path, protocol: Composing) -> dict[str, Any]:
        device = getattr(cell.run, "device", "auto")
        return measure_run(folder, protocol, device, grids_of(folder, protocol))

    def contents(self, options: Compositional, found: Sequence[Found], above: Sequence[str]) -> dict[str, str | bytes]:
        if options.sweep:
            if options.keep:
                sweep.keep_lines(found)
            return sweep.contents(self.name, found, drawing_of(options), above)
        triples = self.triples(options)
        lines, grids = self.about(options, found, above), self.tables(options, found)
        rows = rows_of(found)
        if not rows:
            return {f"{self.name}.md": "\n\n".join([*map(titled, lines), "No run has been measured.\n"])}
        return {
            f"{self.name}.md": "\n\n".join([*map(titled, lines), *(to_markdown(grid) for grid in grids)]),
            f"{self.name}.tex": latex_comment(lines) + "\n\\par\\medskip\n".join(to_latex(grid) for grid in grids),
            f"{self.name}.csv": as_csv(found),
            **drawn(f"figures/{self.name}", heat_maps(rows, triples)),
            **drawn(f"figures/{self.name}_samples", sample_sheets(kept_samples(found), list(rows), triples)),
        }

    def words(self, options: Compositional, found: Sequence[Found]) -> list[str]:
        if options.sweep:
            return sweep.sweep_outcome(found, drawing_of(options))
        triples = self.triples(options)
        rows = rows_of(found)
        lines = [f"Composed attributes, {drawing_of(options).words}:"]
        for triple in triples:
            if triple in rows:
                row = rows[triple]
                lines.append(f"  {', '.join(triple):<32}{row.all:>6.2f} all at once, {row.chance:.3f} by chance")
        return lines + [f"  {bar.outcome}" for bar in bars(rows, triples)]

    def folder(self, options: Compositional) -> Path:
        own = super().folder(options)
        return own.with_name(f"{own.name}-{self.name}-sweep") if options.sweep else own

    def command(self, options: Compositional) -> str:
        again = super().command(options)
        sweep = again.replace(f"make {self.name}", f"make {self.name}-sweep", 1).replace(" SWEEP=1", "", 1)
        return sweep if options.sweep else again

    def triples(self, options: Compositional) -> tuple[Triple, ...]:
        """The triples that are asked for."""
        return triples_of(options.asked, composed_of(composed_dataset(options)).triples)

    def tables(self, options: Compositional, found: Sequence[Found]) -> list[Grid]:
        """The tables of what was measured; none before anything was."""
        held, triples = values_of(found), self.triples(options)
        if not held:
            return []
        rows = rows_of(found)
        values = [v for words in rows for v in words if not v.startswith(NOT)]
        probed = probed_values(held, values)
        return [by_number(rows, triples, held[0]["features"]), by_attribute(rows, triples, probed), figure_4b(rows)]

    def about(self, options: Compositional, found: Sequence[Found], above: Sequence[str]) -> list[str]:
        """The lines above the tables."""
        held, triples, drawing = values_of(found), self.triples(options), drawing_of(options)
        chosen, why = chosen_of(options)
        lines = [
            "Composed attributes: CLEL trained without labels, data set "
            f"{data_title(composed_dataset(options))}, profile {options.profile}; "
            "chains on E(x) - w sum_a s_a u(x).z_a, z_a the normalised sum of the encodings of all training "
            "images with a (CLEL Section 3.4); s_a is -1 for NOT.",
            f"Drawn: {drawing.words}; {options.samples} samples of each thing asked. "
            f"These were {why if drawing == chosen else 'given'}.",
        ]
        if held:
            judged = ", ".join(f"{name} {accuracy:.3f}" for name, accuracy in held[0]["accuracy"].items())
            lines.append(f"Judge: {held[0]['judge']}; right on held-out images: {judged}.")
            lines.append(f"h and u: linear accuracy on held-out images, {knowledge_in_words(held)}.")
            outcomes = "; ".join(bar.outcome for bar in bars(rows_of(found), triples))
            lines.append(f"Bars: {outcomes}.")
        return [*lines, *above]


def knowledge_in_words(held: Sequence[Any]) -> str:
    """What h, and in brackets u, know of each attribute of the first run: "colour 0.99 (0.97), ..."."""
    return ", ".join(f"{name} {h:.2f} ({held[0]['u'][name]:.2f})" for name, h in held[0]["h"].items())


def grids_of(folder: Path, protocol: Composing) -> Path:
    """The folder of the samples that a measurement keeps."""
    return path_of(folder, "compositional", protocol).with_suffix("")


def kept_samples(found: Sequence[Found]) -> NDArray[np.uint8] | None:
    """The samples that the first measured run kept; None where they are gone."""
    for one in found:
        path = grids_of(one.run.folder, one.protocol) / "samples.npy"
        if one.values is not None and path.exists():
            with naming_damage(path, "remove it, and the figure is made without it"):
                return np.asarray(np.load(path))
    return None


ARTEFACT = CompositionalArtefact()
