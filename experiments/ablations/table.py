"""Ablations for reading: the lines above, and a table for each study."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from baselines import SUBJECT
from experiments.ablations.rows import LADDER, Study
from experiments.measured.artefact import Found
from experiments.printing.headings import data_title, distance_lines, feature_spaces
from experiments.printing.markup import DASH, Footnotes, Grid, Header, Text
from experiments.printing.numbers import mean_and_std, number, with_interval
from experiments.reading import published
from experiments.speed.table import significant
from experiments.table1.comparisons.compare import UNDECIDED
from experiments.table1.differences import LEVEL

PAPER = "the paper, CIFAR-10"
"""The group of columns with what is reported."""


def about(frame: pd.DataFrame, found: Sequence[Found], default: str, against: str | None) -> list[str]:
    """The lines above the tables, "Name: text"."""
    cell = found[0].cell
    lines = [
        f"Ablations: profile {cell.profile}, data set {data_title(cell.dataset)}. Each row is the preset of CLEL with "
        f"what its name says; the default, {default}, is what all are compared with.",
        "Distance: Fréchet distance of fresh chains, as in Table 1; mean ± sample standard deviation over the seeds "
        "that ended well.",
        "Compared: lower or higher than the default where Mann and Whitney's p, corrected for all rows of this page "
        f"by Holm, is below {LEVEL:g}; otherwise undecided, which is not the same as equal. Beside it the difference "
        "of the means and its 95 % interval (Welch).",
    ]
    if against:
        lines.append(
            f"AUROC: test images against {against}, by E(x, h(x)), or by E(x) where beta is 0; the paper's is against "
            "SVHN."
        )
    else:
        lines.append("AUROC: not measured here.")
    family = frame.drop_duplicates("row")
    tested = family["distance_p_ranks"].notna().sum()
    if not tested:
        lines.append("Too few seeds: a comparison needs two of each row; give SEEDS=3 or more.")
    elif tested * (least := float(family["distance_p_least"].min())) >= LEVEL:
        lines.append(
            f"Too few seeds: p cannot be below {number(least, 3)} here, {number(min(1.0, tested * least), 3)} after "
            "the correction, so that no word can be but undecided; the intervals say what there is."
        )
    lines.append(
        "Paper: its figures are of its small network on CIFAR-10 (FID, and AUROC against SVHN), and for the ladder of "
        "the sizes of its Table 1b. Sources are in ablations.csv."
    )
    return lines


def study_grid(study: Study, frame: pd.DataFrame, found: Sequence[Found]) -> Grid:
    """The table of one study."""
    notes, own = Footnotes(), frame[frame["study"] == study.name]
    distance = _distance_header(found)
    if study.name == LADDER:
        return _ladder_grid(study, own, distance, notes)
    detected = bool(frame["auroc_mean"].notna().any())
    headers = [Header(("",)), distance, Header(("compared",))]
    headers += [Header(("AUROC ↑",)), Header(("compared",))] * detected
    headers += [Header(("FID ↓",), group=PAPER), Header(("AUROC ↑",), group=PAPER)]
    lines = []
    for row, (_, line) in zip(study.rows, own.iterrows(), strict=True):
        cells = [_title(row.title, line, notes), _distance(line), _outcome(line, "distance")]
        cells += [Text(_auroc(line) or DASH), _outcome(line, "auroc")] * detected
        lines.append([*cells, *(_reported(row.published, metric) for metric in ("fid", "auroc_svhn"))])
    return Grid(headers, lines, notes.texts)


def _ladder_grid(study: Study, own: pd.DataFrame, distance: Header, notes: Footnotes) -> Grid:
    alone = own["speed_iteration_ms"].notna().any()
    how = "of make speed-memory" if alone else "of the runs themselves"
    headers = [Header(("",)), distance, Header(("compared",)), Header(("an iteration,", "ms", how))]
    headers += [Header(("memory,", "MB", how)), Header(("FID ↓",), group=PAPER), Header(("h, GB",), group=PAPER)]
    lines = []
    for row, (_, line) in zip(study.rows, own.iterrows(), strict=True):
        if alone:
            milliseconds, memory = line["speed_iteration_ms"], line["speed_peak_memory_bytes"]
        else:
            milliseconds, memory = 1000 * line["seconds"] / line["iterations"], line["peak_memory_bytes"]
        costs = [_reported(row.published, metric).text for metric in ("hours", "memory")]
        cells = [_title(row.title, line, notes), _distance(line), _outcome(line, "distance")]
        cells += [Text(significant(milliseconds) or DASH), Text(number(memory, 0, 1e-6) or DASH)]
        lines.append([*cells, _reported(row.published, "fid"), Text(", ".join(filter(None, costs)))])
    return Grid(headers, lines, notes.texts)


def outcome_lines(studies: Sequence[Study], frame: pd.DataFrame) -> list[str]:
    """The outcome for a terminal: a line a row."""
    lines = []
    for study in studies:
        lines.append(f"{study.question}:")
        for _, line in frame[frame["study"] == study.name].iterrows():
            auroc = _auroc(line)
            text = f"  {line['title']:<42}{_distance(line).text:>24}  {_outcome(line, 'distance').text:<40}"
            lines.append(f"{text}{f'AUROC {auroc}' if auroc else ''}".rstrip())
    return lines


def _distance_header(found: Sequence[Found]) -> Header:
    spaces = feature_spaces([one.run for one in found if one.run.ok])
    return Header(distance_lines(spaces[0])[:2] if len(spaces) == 1 else ("Fréchet distance ↓",))


def _title(title: str, line: pd.Series, notes: Footnotes) -> Text:
    return Text(title, (notes.mark(f"{title}: {line['failures']}."),) if line["failures"] else ())


def _distance(line: pd.Series) -> Text:
    n, runs = int(line["n"]), int(line["runs"])
    return Text(f"{mean_and_std(line, 'distance') or DASH} (n={n if n == runs else f'{n}/{runs}'})")


def _auroc(line: pd.Series) -> str:
    if pd.isna(line["auroc_mean"]):
        return ""
    deviation = number(line["auroc_std"], 3)
    return number(line["auroc_mean"], 3) + (f" ± {deviation}" if deviation else "")


def _outcome(line: pd.Series, what: str) -> Text:
    if line["row"] == SUBJECT:
        return Text("default")
    word = line[f"{what}_outcome"]
    if not isinstance(word, str):
        return Text()
    text = word if word == UNDECIDED else f"{word} (p {number(line[f'{what}_p_holm'], 3)})"
    if what == "auroc":
        return Text(text)
    return Text(f"{text}: {with_interval(*(line[f'{what}_{name}'] for name in ('difference', 'low', 'high')))}")


def _reported(row: str | None, metric: str) -> Text:
    figure = published.reported(row, metric)
    return Text(figure.text() if figure else "")
