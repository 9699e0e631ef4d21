"""The declared ablations: studies, of which each has rows, and the cells of their runs.

A row is the profile's CLEL preset with some settings changed, or another row of Table 1. Rows of several studies that
say the same are one run, and what Table 1 has too is the run of Table 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from baselines import PLAIN, SUBJECT
from clel.config import choose, require
from experiments.measured.artefact import with_training
from experiments.speed.rows import ladder
from experiments.sweep.grid import PROFILES, Cell, table1_cells, with_seeds
from experiments.sweep.variants import Changes, changes_in_words, label, with_changes

BASELINE: Changes = (("generated_negatives", False), ("beta", 0.0), ("network.projection", "none"))
"""Nothing of CLEL but an encoder that nothing asks: the paper's row (a), its beta 0, and its encoder "none"."""
BYOL: Changes = (("generated_negatives", False), ("objective", "byol"))
FROZEN: Changes = (("encoder.kind", "frozen"),)
SMALL_IMAGES: Changes = (("encoder.side", 32),)
"""Of a frozen backbone on digits of 8x8 pixels: the least that it takes."""
BETAS = (0.001, 0.01, 0.1)
"""Of the paper's Table 4, beside 0 and the preset's own."""
LADDER = "ladder"
LIKE = {"smoke": "quick"}
"""Profiles that have the settings, and so the rungs, of another."""


@dataclass(frozen=True)
class Ablation:
    """One row of a study.

    Attributes:
        changes: of the profile's CLEL preset, in an order in which each step is possible.
        cell: key of the row of Table 1, or of the rung, that it is where it is not made by changes.
        published: key in experiments/published.csv.
    """

    title: str
    changes: Changes = ()
    cell: str | None = None
    published: str | None = None

    @property
    def key(self) -> str:
        """Key of its run's row: what is said in the same way is the same run."""
        return self.cell or (f"{SUBJECT}[{label(self.changes)}]" if self.changes else SUBJECT)


@dataclass(frozen=True)
class Study:
    """One block of the table. question: its heading."""

    name: str
    question: str
    rows: tuple[Ablation, ...]


STUDIES = {
    "components": "Components (the paper's Table 3)",
    "beta": "Weight beta of the guidance (the paper's Table 4)",
    "encoder": "Objective of the encoder (the paper's Table 5)",
    "energy": "Norm and direction apart (the paper's footnote 1)",
    "negatives": "Latents of generated negatives",
    LADDER: "From the plain EBM to CLEL-Large (the paper's Table 1b)",
}
"""By the name that STUDIES=... takes, in the order of the table."""


def study_names(text: str) -> tuple[str, ...]:
    """The names of a list with commas, in the table's order; all of an empty one. ConfigError for an unknown name."""
    asked = [name.strip() for name in text.split(",") if name.strip()]
    for name in asked:
        choose(STUDIES, name, "study")
    return tuple(name for name in STUDIES if name in asked or not asked)


def studies(profile: str, wanted: Sequence[str]) -> list[Study]:
    """The studies of these names; ConfigError for a profile without a CLEL preset."""
    beta = float(_default(profile).run.config.beta)  # type: ignore[union-attr]
    return [Study(name, STUDIES[name], tuple(_rows(name, profile, beta))) for name in wanted]


def cells_of(profile: str, wanted: Sequence[str], seeds: int, dataset: str | None, device: str) -> list[Cell]:
    """Every run of the studies once, with each seed; first those of the default, to which the others are compared."""
    base = _default(profile, dataset, device)
    cells: dict[str, Cell] = {base.row: base}
    for study in studies(profile, wanted):
        for row in study.rows:
            cells.setdefault(row.key, _cell(row, base, dataset, device))
    return [one for cell in cells.values() for one in with_seeds(cell, range(seeds))]


def _rows(name: str, profile: str, beta: float) -> list[Ablation]:
    made = {
        "components": (
            Ablation("(a) beta 0, no projection, no negatives", BASELINE, published="ablation-components-a"),
            Ablation("(b) MLP", (("generated_negatives", False),), published="ablation-components-b"),
            Ablation("(c) MLP, generated negatives", published="ablation-components-c"),
            Ablation("(d) identity, generated negatives", _projected("none"), published="ablation-components-d"),
            Ablation("(e) linear, generated negatives", _projected("linear"), published="ablation-components-e"),
        ),
        "beta": (
            Ablation("0", BASELINE, published="ablation-beta-0"),
            *(_weighted(value, beta) for value in sorted({*BETAS, beta})),
        ),
        "encoder": (
            Ablation("none", BASELINE, published="ablation-encoder-none"),
            Ablation("SimCLR", published="ablation-encoder-simclr"),
            Ablation("BYOL", BYOL, published="ablation-encoder-byol"),
            Ablation("frozen EfficientNet-Lite0, MLP on it", frozen(profile), published="ablation-encoder-mae"),
        ),
        "energy": (
            Ablation("E = 1/2 |f|^2"),
            Ablation("E = e(f), a head of its own", (("network.energy", "head"),)),
        ),
        "negatives": (
            Ablation("u(x-), the mode of p(z|x-)"),
            Ablation("a draw from p(z|x-)", (("negative_latents", "draw"),)),
        ),
        LADDER: _ladder(profile) if name == LADDER else (),
    }
    return list(made[name])


def frozen(profile: str) -> Changes:
    """A frozen backbone as the encoder, for the images of a profile."""
    return FROZEN + (SMALL_IMAGES if PROFILES[profile].dataset == "digits" else ())


def _projected(kind: str) -> Changes:
    return (("network.projection", kind),)


def _weighted(value: float, own: float) -> Ablation:
    published = f"ablation-beta-{value:g}" if value in BETAS else None
    if value == own:
        return Ablation(f"{value:g}, the preset's", published=published)
    return Ablation(f"{value:g}", (("beta", value),), published=published)


def _ladder(profile: str) -> tuple[Ablation, ...]:
    """Plain, CLEL, and the rungs above: those of experiments/speed/ladder.csv, or the profile's other presets."""
    first = (Ablation("Plain EBM", cell=PLAIN, published="plain"), Ablation("+ CLEL", published="clel-base"))
    rungs = [(r.key, r.title, r.published) for r in ladder(LIKE.get(profile, profile), "auto")]
    presets = PROFILES[profile].presets[1:]
    if not rungs and presets:
        rungs = [(c.row, c.title, c.published) for c in with_training(table1_cells(profile, 1, [SUBJECT]))[1:]]
    own = [rung for rung in rungs if rung[0].startswith(f"{SUBJECT}:")]
    return first + tuple(Ablation(title.removeprefix("CLEL, "), cell=key, published=name) for key, title, name in own)


def _default(profile: str, dataset: str | None = None, device: str = "auto") -> Cell:
    choose(PROFILES, profile, "profile")
    found = [
        cell for cell in with_training(table1_cells(profile, 1, [SUBJECT], dataset, device)) if cell.row == SUBJECT
    ]
    require(bool(found), f"the profile {profile} has no preset of CLEL, whose ablations these are")
    return found[0]


def _cell(row: Ablation, base: Cell, dataset: str | None, device: str) -> Cell:
    if row.cell is None:
        held: Any = base.run
        title = f"{base.title} ({changes_in_words(row.changes)})" if row.changes else base.title
        return replace(base, row=row.key, title=title, run=with_changes(held, row.changes), published=row.published)
    for rung in ladder(LIKE.get(base.profile, base.profile), device):
        if rung.key == row.cell:
            run = replace(base.run, config=rung.run.config)  # type: ignore[call-arg]
            return replace(base, row=rung.key, title=rung.title, run=run, published=rung.published)
    name = row.cell.partition(":")[0]
    asked = [row.cell] if ":" in row.cell else [name]
    found = with_training(table1_cells(base.profile, 1, asked, dataset, device))
    return next(cell for cell in found if cell.row == row.cell)
