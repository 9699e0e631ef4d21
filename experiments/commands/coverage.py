"""Where the runs of every table of a folder of results stand, on this machine: declared, finished, at work, lost."""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from textwrap import shorten

from clel.config import ConfigError
from clel.storage.log import counted
from experiments.commands.artefacts import ARTEFACTS
from experiments.slurm.status import pace
from experiments.sweep.archive import archived
from experiments.sweep.grid import Cell
from experiments.sweep.meaning import FILE
from experiments.sweep.naming import PROJECT
from experiments.sweep.store import AT_WORK, load_cells

RUNNING = "running"
REASON = 120
"""Letters of a reason that a line holds; the table has more, the record all."""


@dataclass(frozen=True)
class UnfinishedRun:
    """A run that is at work, or ended without a result. left: of training, at its pace."""

    run: str
    state: str
    progress: str
    left: str
    why: str


@dataclass(frozen=True)
class Coverage:
    """One table: how many of its runs are in each state, and the lines of those that a reader wants to see."""

    table: str
    kind: str
    counts: Counter[str]
    lines: Sequence[UnfinishedRun]

    @property
    def at_work(self) -> bool:
        """Whether a process is at work on one of its runs."""
        return self.counts[RUNNING] > 0

    def __str__(self) -> str:
        total = ", ".join(f"{n} {state}" for state, n in self.counts.most_common())
        head = f"{self.table}, {self.kind}: {counted(self.counts.total(), 'run')}: {total}"
        width = max((len(line.run) for line in self.lines), default=0)
        lines = [
            f"  {x.run:<{width}}  {x.state:<10}  {x.progress:>11}  {f'left {x.left}' if x.left else x.why}".rstrip()
            for x in self.lines
        ]
        return "\n".join([head, *lines])


def tables_coverage(out: Path) -> list[Coverage]:
    """Of each table in `out` whose runs are this version's, by the options that its table.json has.

    Raises:
        ConfigError: no table there.
    """
    found = []
    for path in sorted(out.glob(f"*/{FILE}")):
        for kind, cells in declared(path, out).items():
            found.append(_coverage(path.parent.name, kind, cells, out / "runs"))
    if not found:
        raise ConfigError(f"{out}: no table was begun there, and no sweep submitted; make table1 begins one")
    return found


def declared(path: Path, out: Path) -> dict[str, list[Cell]]:
    """The cells of each kind of table that a table.json is of; without those that this version cannot make again."""
    found: dict[str, list[Cell]] = {}
    try:
        tables = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        return found
    for kind, values in tables.items() if isinstance(tables, dict) else ():
        if kind in ARTEFACTS:
            artefact = ARTEFACTS[kind]
            try:
                found[kind] = artefact.cells_of(artefact.restored(values, out))
            except (ConfigError, TypeError, AttributeError, ValueError, LookupError) as error:
                print(f"{path.parent.name}, {kind}: not known to this version ({error})", file=sys.stderr)
    return found


def watch(out: Path, every: float | None) -> None:
    """Print where all tables stand; again each `every` seconds, as long as a process is at work."""
    while True:
        tables = tables_coverage(out)
        if every and sys.stdout.isatty():
            print("\033[2J\033[H", end="")
        print("\n\n".join(map(str, tables)), flush=True)
        if not every or not any(table.at_work for table in tables):
            return
        time.sleep(every)


def _coverage(table: str, kind: str, cells: Sequence[Cell], runs: Path) -> Coverage:
    counts: Counter[str] = Counter()
    lines = []
    kept = archived(cells, runs) if runs.parent.resolve() == PROJECT.resolve() else {}
    for name, run in load_cells(runs, cells, kept).items():
        held = run.reason == AT_WORK
        state = RUNNING if held else run.status
        counts[state] += 1
        if state not in ("ok", "missing"):
            progress, left = pace(runs / name)
            why = shorten(run.reason or "", REASON)
            lines.append(UnfinishedRun(name, state, progress, left if held else "", "" if held else why))
    return Coverage(table, kind, counts, lines)
