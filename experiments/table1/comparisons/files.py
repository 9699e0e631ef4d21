"""The files of a table's comparisons, beside those of Table 1."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from experiments.printing.drawing import drawn
from experiments.printing.headings import distance_title
from experiments.printing.markup import latex_comment, titled, to_latex, to_markdown
from experiments.sweep.store import Declared, Stored
from experiments.table1.comparisons.compare import compare_rows
from experiments.table1.comparisons.figures import comparisons_figure
from experiments.table1.comparisons.table import about, comparisons_grid

FILES = (
    *("comparisons.md", "comparisons.tex", "comparisons.csv"),
    *("figures/comparisons.png", "figures/comparisons.pdf"),
)


def comparison_files(
    cells: Sequence[Declared], runs: Mapping[str, Stored], above: Sequence[str]
) -> dict[str, str | bytes]:
    """Contents by name, of FILES; none where there is nothing to compare; `above` are the lines above Table 1."""
    found = compare_rows(cells, runs)
    if found is None:
        return {}
    name = distance_title(runs)
    lines, grid = about(found, above), comparisons_grid(found, " ".join(name.split()))
    contents = (
        "\n\n".join([*map(titled, lines), to_markdown(grid)]),
        latex_comment(lines) + to_latex(grid),
        found.table.to_csv(lineterminator="\n"),
    )
    return dict(zip(FILES, contents, strict=False)) | drawn("figures/comparisons", comparisons_figure(found, name))
