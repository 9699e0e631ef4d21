"""The README's copy of a finished table, so that no number is typed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from experiments.sweep.naming import PROJECT
from experiments.table1.report import refresh_section


@dataclass(frozen=True)
class Readme:
    """Put a finished table between its markers in README.md and results/README.md."""

    pages: tuple[Path, ...] = (Path("README.md"), Path("results/README.md"))
    """Files with the lines <!-- table1 begin --> and <!-- table1 end -->."""
    table: Path = PROJECT / "quick-10-seeds-without-rates/summary.md"
    """The table."""
    check: bool = False
    """Change nothing; exit with 1 if the README's copy is out of date."""


def main(options: Readme) -> int:
    """Exit status: 0 up to date (now), 1 out of date and only checked."""
    old = [page for page in options.pages if not refresh_section(page, options.table, check=options.check)]
    if options.check and old:
        print(f"{' and '.join(map(str, old))}: without the table of {options.table}: make readme")
        return 1
    return 0
