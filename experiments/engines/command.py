"""python -m experiments engines: two tables whose runs differ in their engine alone, compared."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import tyro

from clel.config import require
from experiments.engines.compare import AGREE, Comparison, compare_engines
from experiments.engines.figures import engines_figure
from experiments.engines.runs import read_runs
from experiments.engines.table import about, engines_grid, summary
from experiments.printing.drawing import drawn
from experiments.printing.files import write_files
from experiments.printing.markup import latex_comment, titled, to_latex, to_markdown
from experiments.sweep.grid import table1_cells
from experiments.sweep.meaning import Meaning
from experiments.sweep.naming import Named, in_order, named, names_in, table_name


@dataclass(frozen=True)
class Engines(Named):
    """Compare what methods reach with two engines, from the runs.csv of two tables: named as make table1 was, or given.

    The comparison is written to the first one's folder, as engines_summary.md, engines.md, .tex, .csv and a figure.
    """

    engine: str | None = "exact"
    """Engine of the second table; the first has the presets' own."""
    paper: bool = False
    """Figures also as PDF, at the width of a paper's column."""
    table: Annotated[Path | None, tyro.conf.Positional] = None
    """Folder of the first table, instead of options that name it."""
    other: Annotated[Path | None, tyro.conf.Positional] = None
    """Folder of the same table with another engine; that with -exact at its end if not given."""


def main(options: Engines) -> int:
    """Exit status: 0 every method is shown to agree, 1 one differs, or its runs are too few or too far apart to say."""
    table, other = folders(options)
    found = compare_engines(read_runs(table), read_runs(other))
    second = found.engines[1]
    Meaning("engines", {"engine": second}, "engines.md", f"against {second} (").claim(table)
    contents = engine_files(found, table, other)
    for path in write_files(table, contents):
        print(path)
    print(f"\n{contents['engines_summary.md']!s}")
    return 0 if bool(found.table["outcome"].eq(AGREE).all()) else 1


def folders(options: Engines) -> tuple[Path, Path]:
    """The folders of the two tables.

    Raises:
        ConfigError: an unknown profile, method or engine, with the nearest one; folders beside options that name some.
    """
    if options.table is not None:
        require(
            named(options) == named(Engines()),
            f"{options.table} is given, and options that name another table; give one of the two",
        )
        return options.table, options.other or options.table.with_name(f"{options.table.name}-exact")
    table1_cells(options.profile, 1, names_in(options.methods), options.dataset, engine=options.engine)  # or an error
    second = named(options, methods=in_order(options.methods, options.profile))
    return options.out / table_name(replace(second, engine=None)), options.out / table_name(second)


def engine_files(found: Comparison, table: Path, other: Path) -> dict[str, str | bytes]:
    """The files of a comparison by name."""
    lines, grid = about(found, table, other), engines_grid(found)
    return {
        "engines_summary.md": "\n\n".join([*map(titled, lines[:2]), to_markdown(summary(found))]),
        "engines.md": "\n\n".join([*map(titled, lines), to_markdown(grid)]),
        "engines.tex": latex_comment(lines) + to_latex(grid),
        "engines.csv": found.table.to_csv(lineterminator="\n"),
        **drawn("figures/engines", engines_figure(found)),
    }
