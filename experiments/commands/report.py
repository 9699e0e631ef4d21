"""python -m experiments report: Table 1 and its figures again from finished runs, and all results as pages of HTML."""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace

from clel.config import ConfigError
from experiments.page.site import write_pages
from experiments.sweep.naming import table_name
from experiments.table1 import command as table1
from experiments.table1.command import Table1


@dataclass(frozen=True)
class Report(Table1):
    """Make a Table 1 again from its finished runs, then the pages of all results: OUT/index.html is the one to open."""


def main(options: Report) -> int:
    """Exit status: 0 made, 1 if a run of the table has no result (the page says which and why)."""
    try:
        status = table1.main(replace(options, report=True))
    except ConfigError as error:
        # asked for by name, or there before: it matters that it was not made
        if table_name(options) != Report.profile or (options.out / Report.profile / "table1.md").exists():
            raise
        print(f"Table 1 is not made again ({error})", file=sys.stderr)
        status = 0
    pages(options)
    return status


def pages(options: Table1) -> None:
    """Write the pages of all results in OUT, and say where to begin."""
    first, *others = write_pages(options.out)
    print(f"\n{len(others) + 1} pages; open {first}")
