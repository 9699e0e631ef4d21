"""The tables for reading: by block, by set, and what the papers report; and the lines above them."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from experiments.measured.artefact import Found
from experiments.ood.measure import SCORES
from experiments.ood.preparations import PREPARATIONS
from experiments.ood.rows import block_means, lines_of_row, measured_sets
from experiments.ood.sets import SETS
from experiments.printing.headings import data_title
from experiments.printing.markup import DASH, Footnotes, Grid, Header, Text
from experiments.printing.numbers import number, spread
from experiments.reading.published import load_published, reported

SHOWN = ("energy", "joint", "energy_typicality")
"""The scores of the tables for reading; the CSV has all."""
SOURCE = "cifar10"
"""The data set that the published figures are of."""


def about(found: Sequence[Found], frame: pd.DataFrame, notes: Sequence[str]) -> list[str]:
    """The lines above the tables, "Name: text"."""
    one = next((one for one in found if one.values is not None), None)
    cell, p = found[0].cell, found[0].protocol
    counts = "" if one is None or one.values is None else f"{one.values['n_in']:,} images, "
    training = "" if one is None or one.values is None else f"{one.values['n_training']:,} "
    lines = [
        f"Data: trained on {data_title(cell.dataset)}; in distribution is its test split ({counts}the positive class); "
        "the counts of the other side stand with each set.",
        "Sign: every score is low for images like the data, and the detector ranks by its negative. AUROC 1: all test "
        "images score lower than all others; 0.5: chance; below: the others look likelier than the data.",
        f"Scores: E(x); E(x, h(x)) = E(x) − {p.beta:g} u(x)·h(x)/|h(x)|, of methods with an encoder, which sees the "
        f"image as it is; |E(x) − mean|, typicality: the distance from the mean of {training}training images. Averaged "
        "weights, evaluation mode.",
        f"Preparation: {PREPARATIONS[p.preparation].says}. Data sets come to the side by means over "
        "squares of pixels, those of 28x28 padded with black to 32x32, and to grey by luma.",
    ]
    return [*lines, *([f"Left out: {'. '.join(notes)}."] if notes else [])]


def summary_grid(frame: pd.DataFrame, rows: Sequence[tuple[str, str]]) -> Grid:
    """AUROC by block, the mean over its sets: a line a row, a column a score. rows: (row, title)."""
    notes = Footnotes()
    sets = measured_sets(frame)
    headers = [Header(("",))]
    for block in ("near", "far"):
        names = [SETS[name].title for name in sets if (frame[frame["set"] == name]["block"] == block).any()]
        mark = notes.mark(f"{block}: mean AUROC over {', '.join(names) or 'no set'}; ± standard deviation over seeds.")
        headers += [Header((SCORES[score], "AUROC ↑"), (mark,), block) for score in SHOWN]
    lines = []
    for row, title in rows:
        values = [block_means(frame, row, block, score) for block in ("near", "far") for score in SHOWN]
        lines.append([Text(title), *(Text(spread(value, 3)) for value in values)])
    return Grid(headers, lines, notes.texts)


def sets_grid(found: Sequence[Found], frame: pd.DataFrame, rows: Sequence[tuple[str, str]]) -> Grid:
    """Each set with a line a row: AUROC of three scores, AUPR and FPR of the energy, and the reported AUROC."""
    notes = Footnotes()
    one = notes.mark(
        "One seed: 95 % interval of a bootstrap over both sides. Several: ± standard deviation over seeds."
    )
    moves = notes.mark("Of E(x). AUPR moves with the counts of both sides, AUROC and FPR do not.")
    theirs = notes.mark("Of CIFAR-10 at 32x32, in the paper's own preparation: to be read beside, not to be compared.")
    headers = [Header(("",)), *(Header((SCORES[score], "AUROC ↑"), (one,)) for score in SHOWN)]
    headers += [Header(("AUPR ↑", "in / out"), (moves,)), Header(("FPR ↓ at", "95 % TPR"), (moves,))]
    headers += [Header(("reported", "AUROC"), (theirs,))]
    published = {f.cell.row: f.cell.published for f in found}
    lines: list[list[Text]] = []
    for name in measured_sets(frame):
        own = frame[frame["set"] == name]
        text = f"{SETS[name].title} ({own['block'].iloc[0]}, {int(own['n_out'].iloc[0]):,} images)"
        lines.append([Text(text), *[Text()] * (len(headers) - 1)])
        for row, title in rows:
            energy = lines_of_row(frame, row, name, "energy")
            figure = reported(published[row], SETS[name].published or "", SOURCE)
            aupr = f"{number(energy['aupr_in'].mean(), 2)} / {number(energy['aupr_out'].mean(), 2)}"
            cells = [Text(auroc_with_interval(lines_of_row(frame, row, name, score))) for score in SHOWN]
            cells += [Text(aupr if len(energy) else DASH), Text(number(energy["fpr_at_95_tpr"].mean(), 2))]
            lines.append([Text(f"{DASH} {title}"), *cells, Text(figure.text() if figure else "")])
    return Grid(headers, lines, notes.texts)


def reported_grid() -> Grid:
    """What the papers report on CIFAR-10, verified or with the word unverified, with source and notes."""
    notes, metrics = Footnotes(), [one for one in SETS.values() if one.published]
    figures = [f for f in load_published().values() if f.metric.startswith("auroc_") and f.dataset == SOURCE]
    figures = [f for f in figures if not f.row.startswith("ablation")]
    lines = []
    for row in dict.fromkeys(f.row for f in figures):
        own = {f.metric: f for f in figures if f.row == row}
        marks = [notes.mark(f"{f.source}.") for f in own.values()]
        marks += [notes.mark(f"{f.method}: {f.notes}.") for f in own.values() if f.notes]
        title = Text(next(iter(own.values())).method, tuple(sorted(set(marks))))
        cells = [own.get(str(one.published)) for one in metrics]
        lines.append([title, *(Text(f.text() if f else DASH) for f in cells)])
    return Grid([Header(("reported AUROC, CIFAR-10",)), *(Header((one.title,)) for one in metrics)], lines, notes.texts)


def auroc_with_interval(lines: pd.DataFrame) -> str:
    """`spread` of the AUROC, with the bootstrap interval of a single run."""
    if len(lines) != 1:
        return spread(lines["auroc"], 3)
    one = lines.iloc[0]
    return f"{number(one['auroc'], 3)} [{number(one['auroc_low'], 3)}, {number(one['auroc_high'], 3)}]"
