"""The table for reading: what each row reached and cost, in six columns; table1.md is the full one, with sources."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from experiments.printing.headings import data_title, distance_lines, feature_spaces, is_fid
from experiments.printing.markup import DASH, Footnotes, Grid, Header, Text
from experiments.printing.numbers import counted_runs, interval, mean_and_std, number
from experiments.sweep.store import Stored
from experiments.table1.columns import several_machines


def summary(values: pd.DataFrame, runs: Sequence[Stored]) -> Grid:
    """Six columns of Table.values, and at most four footnotes; runs: those of the table."""
    notes = Footnotes()
    features = feature_spaces([run for run in runs if run.ok])
    shown = features[0] if len(features) == 1 else " / ".join(features) or "no features yet"
    about = (
        "Mean ± sample standard deviation over the n seeds that ended well; of one, the 95 % interval of a bootstrap "
    )
    other = "" if is_fid(features) else " Not an Inception FID, and not to be compared with one."
    distance_mark = notes.mark(f"{about}over its samples.{other}")
    machines = several_machines(notes, [run for run in runs if run.ok])
    source, dataset = str(values["reported_dataset"].iloc[0]), str(values["dataset"].iloc[0])
    apart = "" if source == dataset else " Another data set and larger networks than here: not to be compared."
    reported = notes.mark(f"FID in Inception features, by the papers that table1.md names.{apart}")
    lines = []
    for _, row in values.iterrows():
        count = counted_runs(int(row["n"]), int(row["runs"]))
        distance = mean_and_std(row, "fid_fresh") + interval(row, "fresh")
        pair = [number(row[f"{name}_fresh_mean"], 2) for name in ("precision", "recall")]
        lines.append(
            [
                Text(str(row["title"])),
                Text(f"{distance or DASH} ({count})", _failed(notes, values) if row["failures"] else ()),
                Text(" / ".join(pair) if all(pair) else ""),
                Text(number(row["seconds"])),
                Text(number(row["peak_memory_bytes"], scale=1e-6)),
                Text(number(row["reported_fid"], 2)),
            ]
        )
    headers = [
        Header(("",)),
        Header(distance_lines(shown), (distance_mark,)),
        Header(("precision / recall ↑",)),
        Header(("training", "s"), machines),
        Header(("memory", "MB")),
        Header(("reported FID ↓", data_title(source)), (reported,)),
    ]
    return Grid(headers, lines, notes.texts)


def _failed(notes: Footnotes, values: pd.DataFrame) -> tuple[int, ...]:
    """One footnote for all that has no result."""
    reasons = [f"{row['title']}: {row['failures']}" for _, row in values.iterrows() if row["failures"]]
    return (notes.mark(f"Without a result: {'. '.join(reasons)}."),)
