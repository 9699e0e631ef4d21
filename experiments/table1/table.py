"""Table 1: what each row of the declared grid reached and cost, beside what the papers report.

Built from the cells alone: rows, their order and their names are those of the grid, no method is known here. A run that
failed or is missing leaves a dash, its reason in a footnote, and n=2/3.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from textwrap import shorten

import pandas as pd

from experiments.printing.headings import further_spaces, reported_headers
from experiments.printing.markup import DASH, Footnotes, Grid, Header, Text, to_latex, to_markdown
from experiments.printing.numbers import counted_runs
from experiments.printing.remarks import remarks, usual_number
from experiments.reading import published
from experiments.sweep.store import Declared, Stored, by_row, frame
from experiments.table1.columns import columns

SOURCES = ("fresh", "paper", "buffer")
MEASURES = (
    *(
        "fid",
        "fid_se",
        "fid_low",
        "fid_high",
        "fid_infinity",
        "fid_sampling_mean",
        "fid_sampling_std",
        "sampling_seeds",
    ),
    *("kid", "kid_std", "inception_score", "inception_score_std", "precision", "recall", "density", "coverage"),
    *("confident", "classes"),
)
METRICS = tuple(f"{measure}_{source}" for source in SOURCES for measure in MEASURES)
TRAINING = ("parameters", "iterations", "images", "seconds", "gradient_evaluations", "peak_memory_bytes", "busy_cores")
REASON = 200  # letters of a reason that a footnote holds; the record has it whole
REPORTED = ("fid", "hours", "memory")


@dataclass(frozen=True)
class Table:
    """Table 1 as numbers and as print.

    values: a DataFrame with one row a table row, indexed by its key, every column (means and sample standard
    deviations over the runs that ended well). grid: the selection for people, with footnotes. runs: the frame of the
    runs that the values were read from, a row a run.
    """

    values: pd.DataFrame
    grid: Grid
    runs: pd.DataFrame

    def to_markdown(self) -> str:
        """GitHub Markdown."""
        return to_markdown(self.grid)

    def to_latex(self) -> str:
        """A booktabs tabular for pdflatex."""
        return to_latex(self.grid)

    def to_csv(self) -> str:
        """Every column of `values`, full precision, empty where there is no number."""
        return self.values.to_csv(lineterminator="\n")


def failures(cells: Sequence[Declared], runs: Mapping[str, Stored]) -> str:
    """Why cells of one row have no distance, "seed 1: diverged (reason); ..."; empty where each has one."""
    reasons = []
    for cell in cells:
        run = runs[cell.run_name]
        if not run.ok:
            reason = f" ({shorten(run.reason, REASON)})" if run.reason else ""
            reasons.append(f"seed {cell.seed}: {run.status}{reason}")
        elif run.part("metrics").get("fid_fresh") is None:
            reasons.append(f"seed {cell.seed}: ended, but its record has no distance")
    return "; ".join(reasons)


def table1(cells: Sequence[Declared], runs: Mapping[str, Stored], figures: published.Figures | None = None) -> Table:
    """Table 1 of these cells; `runs` holds a Stored for each cell's run_name (see store.load_records).

    figures: the published figures, by default those of experiments/published.csv.

    Raises:
        ValueError: no cells, or cells of several data sets, which one table must not mix.
    """
    datasets = sorted({cell.dataset for cell in cells})
    if len(datasets) != 1:
        raise ValueError(f"a table needs the cells of one data set; given: {', '.join(datasets) or 'none'}")
    rows, dataset = by_row(cells), datasets[0]
    own = any(published.reported(cell.published, "fid", dataset, figures) for cell in cells)
    source = dataset if own else "cifar10"
    data = frame(runs)
    values = [_values(members, runs, data, source, figures) for members in rows.values()]
    table = pd.DataFrame(values, index=pd.Index(rows, name="row"))
    return Table(table, _grid(table, rows, runs, source, figures), data)


def _values(
    cells: Sequence[Declared],
    runs: Mapping[str, Stored],
    data: pd.DataFrame,
    source: str,
    figures: published.Figures | None,
) -> dict[str, object]:
    """One row of Table.values."""
    names = [cell.run_name for cell in cells]
    good = data.loc[[name for name in names if runs[name].ok]]
    row: dict[str, object] = {"title": cells[0].title, "dataset": cells[0].dataset, "runs": len(cells)}
    row["n"] = int(good["fid_fresh"].notna().sum()) if "fid_fresh" in good else 0
    row["failures"] = failures(cells, runs)
    further = [f"{key}_{metric}" for key in further_spaces(runs.values()) for metric in METRICS]
    for metric in (*METRICS, *(metric for metric in further if metric in data)):
        numbers = good[metric].dropna() if metric in good else pd.Series(dtype=float)
        row[f"{metric}_mean"] = numbers.mean()
        row[f"{metric}_std"] = numbers.std(ddof=1) if len(numbers) > 1 else None
    for cost in TRAINING:
        row[cost] = good[cost].dropna().astype(float).mean() if cost in good else None
    row["busy_cores_max"] = good["busy_cores"].max() if "busy_cores" in good else None
    events = data.loc[names, "divergences"].dropna() if "divergences" in data else pd.Series(dtype=float)
    row["divergences_total"] = int(events.sum()) if len(events) else None
    for metric in REPORTED:
        figure = published.reported(cells[0].published, metric, source, figures)
        row[f"reported_{metric}"] = figure.value if figure else None
        row[f"reported_{metric}_source"] = figure.source if figure else None
    row["reported_dataset"] = source
    return row


def _grid(
    table: pd.DataFrame,
    rows: Mapping[str, Sequence[Declared]],
    runs: Mapping[str, Stored],
    source: str,
    figures: published.Figures | None,
) -> Grid:
    notes = Footnotes()
    dataset = str(table["dataset"].iloc[0])
    good = [run for run in runs.values() if run.ok]
    measured = columns(notes, good, dataset)
    usual = usual_number([cell for cells in rows.values() for cell in cells], runs)
    lines = []
    for (_, numbers), cells in zip(table.iterrows(), rows.values(), strict=True):
        reasons, n, declared = numbers["failures"], int(numbers["n"]), int(numbers["runs"])
        about = tuple(notes.mark(text) for text in remarks(cells, runs, usual))
        mark = (notes.mark(f"{numbers['title']}: {reasons}."),) if reasons else ()
        count = counted_runs(n, declared)
        texts = [column.show(numbers) for column in measured]
        # a dash says "failed or missing"; where runs ended well and the quantity does not exist, the cell stays empty
        none = "" if any(runs[cell.run_name].ok for cell in cells) else DASH
        line = [Text(str(numbers["title"]), about), Text(f"{texts[0] or DASH} ({count})", mark)]
        line += [
            Text(text or none, column.marks(numbers) if text else ())
            for column, text in zip(measured[1:], texts[1:], strict=True)
        ]
        for metric in REPORTED:
            figure = published.reported(cells[0].published, metric, source, figures)
            line.append(Text(figure.text(), (notes.mark(_citation(figure)),)) if figure else Text())
        lines.append(line)
    headers = [Header(("",)), *(column.header for column in measured), *reported_headers(notes, good, dataset, source)]
    return Grid(headers, lines, notes.texts)


def _citation(figure: published.Published) -> str:
    return f"Source: {figure.source}." + (f" Note: {figure.notes}." if figure.notes else "")
