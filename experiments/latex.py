"""A table as a document of its own, to compile and look at."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from clel.files import write_atomically
from experiments.markup import standalone


@dataclass(frozen=True)
class Latex:
    """Wrap a table's .tex in a document that pdflatex compiles."""

    table: Annotated[Path, tyro.conf.Positional]
    """The table, such as results/quick/table1.tex."""
    out: Path = Path("table.tex")
    """The document to write."""


def main(options: Latex) -> int:
    """Exit status 0."""
    write_atomically(options.out, standalone(options.table.read_text()))
    return 0
