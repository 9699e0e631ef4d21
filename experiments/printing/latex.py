"""Tables as a document of their own, to compile and look at."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from clel.storage.atomic import naming_damage, write_atomically
from experiments.printing.markup import standalone


@dataclass(frozen=True)
class Latex:
    """Wrap the .tex of tables in a document that pdflatex compiles, a page each."""

    tables: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """The tables, such as results/quick/table1.tex."""
    out: Path = Path("table.tex")
    """The document to write."""


def main(options: Latex) -> int:
    """Exit status 0."""
    texts = []
    for table in options.tables:
        with naming_damage(table, "make report writes it anew"):
            texts.append(table.read_text("utf-8"))
    write_atomically(options.out, standalone(*texts))
    return 0
