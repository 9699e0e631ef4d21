"""A folder of results, read for its page: its artefacts' tables, the runs behind Table 1, claims, curves, pictures."""

from __future__ import annotations

import json
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
from markupsafe import Markup

from clel.storage.log import Notice
from clel.storage.provenance import short_commit
from experiments.page.claims import UNMEASURED, Verdict, counts_in_words, verdicts
from experiments.page.community import Community, community
from experiments.page.curves import row_curves
from experiments.page.pictures import Figure, SampleGrid, figures, grids
from experiments.page.run_page import RunPage, look_at, run_page
from experiments.page.tables import as_html
from experiments.printing.chosen import lines_above
from experiments.sweep.archive import archived
from experiments.sweep.meaning import FILE
from experiments.sweep.naming import PROJECT
from experiments.sweep.store import Declared, Stored, by_row, load_cells
from experiments.table1.command import cells_of, restored

RUNS = "pages"
"""Folder of the runs' own pages, in a folder of results."""
ARTEFACTS = {
    "table1": ("Table 1", ("summary.md", "comparisons.md", "table1.md")),
    "speed-memory": ("Speed and memory", ("speed_summary.md", "speed_memory.md")),
    "engines": ("Engines", ("engines_summary.md", "engines.md")),
    "chains": ("Fresh chains and the replay buffer", ("chains_summary.md", "chains.md")),
    "conditional": ("Conditional sampling", ("conditional.md",)),
    "compositional": ("Compositional sampling", ("compositional.md",)),
    "ood": ("Detection of images out of distribution", ("ood.md",)),
    "ablations": ("Ablations", ("ablations.md",)),
    "features": ("Feature spaces", ("features.md",)),
    "tune": ("Settings chosen by a rule", ("tuning.md",)),
}
"""By name: a heading, and the pages in Markdown, the one for reading first."""
PROTOCOL = ("features", "reference", "chains", "steps", "engine")


@dataclass(frozen=True)
class Part:
    """One artefact of a folder: its tables as HTML by file, and the lines "Name: text" that stand above them."""

    name: str
    title: str
    tables: Sequence[tuple[str, Markup]]
    about: Mapping[str, str]


@dataclass(frozen=True)
class RunLine:
    """A run behind a row, in words. page: its own, from the folder's; empty for one without a record."""

    name: str
    seed: int
    status: str
    reason: str
    distance: float | None
    seconds: float | None
    commit: str
    machine: str
    command: str
    protocol: str
    finished: str
    page: str


@dataclass(frozen=True)
class TableRow:
    """A row of Table 1 and its runs. opener: id of the dialog that shows them."""

    title: str
    opener: str
    runs: Sequence[RunLine]


@dataclass(frozen=True)
class Folder:
    """All that the page of a folder of results shows."""

    name: str
    title: str
    parts: Sequence[Part]
    claims: Sequence[Verdict]
    figures: Sequence[Figure]
    rows: Sequence[TableRow] = ()
    curves: Mapping[str, Any] = field(default_factory=dict)
    grids: Sequence[SampleGrid] = ()
    pages: Sequence[RunPage] = ()
    community: Community = field(default_factory=Community)

    @property
    def lines(self) -> list[RunLine]:
        """Every declared run of Table 1."""
        return [line for row in self.rows for line in row.runs]

    @property
    def lost(self) -> list[RunLine]:
        """Those without a result."""
        return [line for line in self.lines if line.status != "ok"]

    @property
    def made(self) -> str:
        """Where and when its runs were made: "2026-11-29 to 2026-11-30, on AMD EPYC; commit 0123456789ab"."""
        days = sorted({line.finished for line in self.lines if line.finished})
        machines, commits = (
            "; ".join(dict.fromkeys(filter(None, (getattr(line, name) for line in self.lines))))
            for name in ("machine", "commit")
        )
        when = " to ".join(dict.fromkeys((days[0], days[-1]))) if days else ""
        return f"{when}, on {machines or 'a machine not recorded'}; commit {commits or 'not recorded'}" if when else ""

    @property
    def covered(self) -> str:
        """ "45 ok, 1 diverged"; empty without Table 1."""
        return ", ".join(f"{n} {status}" for status, n in Counter(line.status for line in self.lines).items())

    @property
    def claimed(self) -> str:
        """The words of the claims that were measured."""
        return counts_in_words([claim for claim in self.claims if claim.word != UNMEASURED])


def read_folder(place: Path) -> Folder:
    """What a folder of results has. What is damaged costs its own part of the page."""
    cells, projects = _cells(place)
    runs = place.parent / "runs"
    held = {
        name: sound(run) for name, run in load_cells(runs, cells, archived(cells, runs) if projects else {}).items()
    }
    rows = [
        TableRow(members[0].title, f"runs-{number}", [run_line(cell, held[cell.run_name]) for cell in members])
        for number, members in enumerate(by_row(cells).values())
    ]
    openers = {row.title: row.opener for row in rows}
    parts, titles = [], []
    for name, (heading, files) in ARTEFACTS.items():
        texts = {file: (place / file).read_text("utf-8", "replace") for file in files if (place / file).is_file()}
        if texts:
            tables = [(file, Markup(as_html(_tables_of(text), _id(file), openers))) for file, text in texts.items()]
            above = [lines_above(text) for text in texts.values()]
            titles += list(above[0].values())[:1]
            parts.append(Part(name, heading, tables, {k: v for lines in above for k, v in [*lines.items()][1:]}))
    return Folder(
        place.name,
        next(iter(titles), ""),
        parts,
        verdicts(place),
        figures(place),
        rows,
        row_curves(cells, held),
        grids(cells, held),
        [run_page(cell, held[cell.run_name]) for cell in cells if held[cell.run_name].record],
        community(list(held.values())),
    )


def sound(run: Stored) -> Stored:
    """The run, or, where its record or log holds what no page can show, one that says so and has no results."""
    if not run.record:
        return run
    try:
        look_at(run)
    except (ValueError, LookupError, AttributeError, TypeError, OverflowError, RecursionError, OSError) as error:
        why = f"its record or log cannot be shown ({type(error).__name__}: {error})"
        return Stored(run.name, "unreadable", why, folder=run.folder)
    return run


def run_line(cell: Declared, run: Stored) -> RunLine:
    """A run in words."""
    origin, protocol = run.part("provenance"), run.part("protocol")
    return RunLine(
        run.name,
        cell.seed,
        run.status,
        run.reason or "",
        run.part("metrics").get("fid_fresh"),
        run.part("training").get("seconds"),
        short_commit(origin) if origin else "",
        str(origin.get("device") or ""),
        str(origin.get("command") or ""),
        "; ".join(f"{name}: {protocol[name]}" for name in PROTOCOL if name in protocol),
        str(origin.get("finished") or "")[:10],
        f"{RUNS}/{run.name}.html" if run.record else "",
    )


def _cells(place: Path) -> tuple[list[Any], bool]:
    """The cells that the folder's Table 1 was made of, and whether runs of the project may be among them.

    None where it has none, or one of other settings.
    """
    try:
        given = json.loads((place / FILE).read_text("utf-8")).get("table1")
        if given is None:
            return [], False
        cells = cells_of(restored(given, place.parent))
        made_of = pd.read_csv(place / "runs.csv")
        known = set(made_of["name"])
    except (ValueError, OSError, LookupError, AttributeError, TypeError, RecursionError) as error:
        _leave_out(place, str(error))
        return [], False
    if not known & {cell.run_name for cell in cells}:
        _leave_out(place, "the suite has other settings now than when its table was made")
        return [], False
    projects = "project" in made_of or place.parent.resolve() == PROJECT.resolve()
    return [cell for cell in cells if cell.run_name in known], projects


def _leave_out(place: Path, why: str) -> None:
    warnings.warn(f"{place}: its page has its tables, not its runs: {why}", Notice, stacklevel=3)


def _tables_of(text: str) -> str:
    """A page from its first table, or heading, on: what stands above is shown apart."""
    lines = text.splitlines()
    first = next((i for i, line in enumerate(lines) if line.startswith(("|", "#"))), len(lines))
    return "\n".join(lines[first:])


def _id(file: str) -> str:
    return file.removesuffix(".md").replace("_", "-")
