"""python -m experiments engines: two tables whose runs differ in their engine alone, held against each other."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from clel.files import write_atomically
from experiments.drawing import png
from experiments.engines.compare import Comparison, compare
from experiments.engines.figure import engines_figure
from experiments.engines.runs import read_runs
from experiments.engines.table import about, engines_grid
from experiments.markup import latex_comment, titled, to_latex, to_markdown


@dataclass(frozen=True)
class Engines:
    """Compare what methods reach with two engines, from the runs.csv of two tables."""

    table: Annotated[Path, tyro.conf.Positional] = Path("results/quick")
    """Folder of a table; the comparison is written there, as engines.md, .tex, .csv and figures/engines.png."""
    other: Annotated[Path | None, tyro.conf.Positional] = None
    """Folder of the same table with another engine; that with -exact at its end if not given."""


def main(options: Engines) -> int:
    """Exit status: 0 every method agrees within the spread, 1 one does not, or has too few runs to say."""
    other = options.other or options.table.with_name(f"{options.table.name}-exact")
    found = compare(read_runs(options.table), read_runs(other))
    contents = report(found, options.table, other)
    for name, content in contents.items():
        write_atomically(options.table / name, content)
        print(options.table / name)
    print(f"\n{contents['engines.md']!s}")
    return 0 if bool(found.table["agrees"].eq(True).all()) else 1


def report(found: Comparison, table: Path, other: Path) -> dict[str, str | bytes]:
    """The files of a comparison by name."""
    lines, grid = about(found, table, other), engines_grid(found)
    return {
        "engines.md": "\n\n".join([*map(titled, lines), to_markdown(grid)]),
        "engines.tex": latex_comment(lines) + to_latex(grid),
        "engines.csv": found.table.to_csv(lineterminator="\n"),
        "figures/engines.png": png(engines_figure(found)),
    }
