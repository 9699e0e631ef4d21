"""The table for reading: what an iteration of each method costs, in seven columns; speed_memory.md is the full one."""

from __future__ import annotations

import pandas as pd

from experiments.printing.markup import DASH, Footnotes, Grid, Header, Text
from experiments.printing.numbers import number
from experiments.reading.published import reported
from experiments.speed.claims import is_estimate
from experiments.speed.table import significant


def summary(values: pd.DataFrame) -> Grid:
    """Seven columns of `speed_frame`, and at most four footnotes."""
    notes = Footnotes()
    how = notes.mark("One iteration of the trainer, median; a step of the sampler on as many images as it has.")
    peak = notes.mark("1 MB = 1,000,000 bytes: peak while it trains, without the interpreter and the libraries.")
    papers = notes.mark(
        "By the papers that speed_memory.md names, on one RTX 3090 with larger networks; est.: estimated there. Not to "
        "be compared with this machine's."
    )
    lines = []
    for _, row in values.iterrows():
        ok = row["status"] == "ok"
        measured = [
            significant(row["iteration_ms"]),
            significant(row["images_per_s"]),
            significant(row["sampling_step_ms"]),
            number(row["peak_memory_bytes"], scale=1e-6),
        ]
        marks = () if ok else (_failed(notes, values),)
        line = [Text(str(row["title"]), marks), *(Text(text if ok else DASH) for text in measured)]
        for name in ("hours", "memory"):
            key = row["published"]
            figure = reported(None if pd.isna(key) else str(key), name)
            line.append(Text("" if figure is None else figure.text() + (" est." if is_estimate(figure) else "")))
        lines.append(line)
    headers = [
        Header(("",)),
        Header(("an iteration,", "ms"), (how,)),
        Header(("images/s",)),
        Header(("a sampling", "step, ms"), (how,)),
        Header(("memory,", "MB"), (peak,)),
        Header(("time, h",), (papers,), "reported"),
        Header(("memory, GB",), (papers,), "reported"),
    ]
    return Grid(headers, lines, notes.texts)


def _failed(notes: Footnotes, values: pd.DataFrame) -> int:
    """One footnote for all that has no result."""
    lost = values[values["status"] != "ok"]
    return notes.mark(f"Without a result, for the reasons that speed_memory.md has: {', '.join(lost['title'])}.")
