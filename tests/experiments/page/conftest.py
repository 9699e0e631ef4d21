"""A folder of results with everything that can be wrong, and its pages."""

from __future__ import annotations

from pathlib import Path

import pytest

from clel.config import to_dict
from experiments.page.site import write_pages
from experiments.sweep.grid import table1_cells
from experiments.sweep.naming import Named, table1_meaning, table_name
from experiments.table1.report import write_report
from tests.experiments.conftest import FakeStore

TWO_TABLES = "\n\n".join(
    f"## Block {n}\n\n|  | AUROC ↑<sup>a</sup> |\n| :-- | --: |\n| CLEL | 0.9{n} |\n\n- <sup>a</sup> Note {n}.\n"
    for n in (1, 2)
)
"""As an artefact of several tables has them."""
EVIL = "<script>alert('x')</script> & \"more\""


@pytest.fixture(scope="session")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Table 1 of two seeds: a run diverged with a reason that is a program, one damaged, one missing; all its pages."""
    out = tmp_path_factory.mktemp("results")
    return make(out, Named(seeds=2, rates=False, out=out))


def make(out: Path, options: Named) -> Path:
    """A table in `out` of made-up runs, with its pages."""
    fake = FakeStore(out / "runs")
    cells = table1_cells(options.profile, options.seeds, rates=options.rates)
    for number, cell in enumerate(cells):
        kept = {"config": to_dict(cell.run), "trained": cell.row not in ("noise", "real")}
        if (cell.row, cell.seed) == ("igebm", 1):
            fake.write(cell, None, status="diverged", reason=EVIL, metrics={}, **kept)  # type: ignore[arg-type]
        elif (cell.row, cell.seed) != ("vae", 1):
            fake.write(cell, 1.0 + number, **kept)  # type: ignore[arg-type]
            fake.samples(cell)  # type: ignore[arg-type]
        else:
            continue
        if kept["trained"]:
            fake.log(cell, [(0.0, 60.0), (100.0, 20.0), (200.0, 1.0 + number)])  # type: ignore[arg-type]
    (damaged,) = (cell for cell in cells if (cell.row, cell.seed) == ("clel", 1))
    (out / "runs" / damaged.run_name / "record.json").write_text("{")
    folder = out / table_name(options)
    write_report(folder, cells, out / "runs", "make table1 SEEDS=2 RATES=0")
    table1_meaning(options, "make table1 SEEDS=2 RATES=0").claim(folder)
    (folder / "ood.md").write_text(f"**Data:** digits.\n\n{TWO_TABLES}")
    write_pages(out)
    return folder
