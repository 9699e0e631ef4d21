"""Table 1: numbers, failures, footnotes, and that both markups survive any text."""

from __future__ import annotations

import io
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clel.config import to_dict
from clel.methods.settings import EvaluateConfig
from experiments.cli import main
from experiments.printing.markup import (
    Footnotes,
    Grid,
    Header,
    Text,
    escape_latex,
    latex_comment,
    letter,
    standalone,
    to_latex,
    to_markdown,
)
from experiments.printing.numbers import number
from experiments.reading.published import Published
from experiments.sweep.store import load_cells, load_records
from experiments.table1 import table
from experiments.table1.table import Table, table1


def build(fake: Any, cells: list, **more: Any) -> Table:
    return table1(cells, load_records(fake.runs_dir, [cell.run_name for cell in cells]), **more)


def shown(table: Table) -> dict[str, list[str]]:
    return {row[0].text: [cell.text for cell in row[1:]] for row in table.grid.rows}


def test_numbers_and_failures(fake: Any, grid: list) -> None:
    table = build(fake, grid)
    rows = shown(table)
    assert list(rows) == ["Uniform noise", "Held-out real images", "Method A", "B & C_1", "Method C", "Method D"]
    assert rows["Uniform noise"][:2] == ["98.70 (n=1)", ""]
    assert rows["Uniform noise"][-1] == ""
    assert rows["Method A"][0] == "10.00 ± 1.41 (n=2/3)"
    assert rows["B & C_1"][0] == "6.00 ± 1.41 (n=2/3)"
    expected = ["3.00 ± 1.00 (n=3)", "1.50 ± 0.00", "2.00 ± 0.00", "0.90", "0.80", "57,345", "1,200"]
    expected += ["76.8", "1,536", "200", "612", "3"]
    assert rows["Method C"] == [*expected, "15.27", "41", "7"]
    assert rows["Method D"] == ["– (n=0/3)", *["–"] * 11, "", "", ""]
    notes = table.grid.footnotes
    assert "Method A: seed 2: missing (not run)." in notes
    assert "B & C_1: seed 1: diverged (E | gap_* > 50% & <β>)." in notes
    assert rows["B & C_1"][11] == "3"  # divergence events of the failed run count
    values: Any = table.values
    assert values.loc["c:large", "fid_fresh_mean"] == 3.0
    assert values.loc["c:large", "fid_fresh_std"] == 1.0
    assert pd.isna(values.loc["noise", "fid_fresh_std"])  # one run has no spread


def test_damaged_record_is_a_failed_cell(fake: Any, grid: list) -> None:
    (fake.runs_dir / grid[-4].run_name / "record.json").write_text("{")
    table = build(fake, grid)
    assert shown(table)["Method C"][0] == "2.50 ± 0.71 (n=2/3)"
    assert any(f"{grid[-4].run_name}/record.json" in note for note in table.grid.footnotes)


def test_record_without_distance_is_not_counted(fake: Any) -> None:
    cells = fake.cells("a", "A", 2)
    fake.write(cells[0], 3.0)
    fake.write(cells[1], None)
    table = build(fake, cells)
    assert shown(table)["A"][0] == "3.00 (n=1/2)"
    assert "A: seed 1: ended, but its record has no distance." in table.grid.footnotes


def test_runs_measured_in_another_way_are_not_averaged(fake: Any) -> None:
    asked = EvaluateConfig(samples=100)
    cells = fake.cells("a", "A", 2, evaluate=asked)
    for cell, samples in zip(cells, (100, 300), strict=True):
        fake.write(cell, 3.0, config={"evaluate": to_dict(EvaluateConfig(samples=samples))})
    table = table1(cells, load_cells(fake.runs_dir, cells))
    assert shown(table)["A"][0] == "3.00 (n=1/2)"
    assert any("seed 1: unfinished (not measured yet as this table asks" in note for note in table.grid.footnotes)


def test_nothing_has_run(fake: Any) -> None:
    cells = fake.cells("a", "A", 2, published="igebm")
    table = build(fake, cells)
    assert shown(table)["A"] == ["– (n=0/2)", *["–"] * 8, "38.20", "", ""]
    assert "no features yet" in table.to_markdown()


def test_long_reasons_are_cut(fake: Any) -> None:
    (cell,) = fake.cells("a", "A")
    fake.write(cell, status="error", reason="line\n" * 500, metrics={})
    assert max(map(len, build(fake, [cell]).grid.footnotes)) < 400


def test_headings_say_the_distance_is_not_inception_fid(fake: Any, grid: list) -> None:
    markdown = build(fake, grid).to_markdown()
    header = markdown.splitlines()[0]
    assert "classifier-v1 (digits) features,<br>not Inception FID" in header
    assert "replay buffer" in header
    assert "fresh chains" in header
    assert "KID ↓" in header and "×1000" not in header  # as the papers print it, in Inception features only


def test_papers_of_another_data_set_and_of_the_same(fake: Any) -> None:
    other = build(fake, fake.cells("a", "A", published="igebm"))
    (note,) = [note for note in other.grid.footnotes if "RTX 3090" in note]
    assert note.startswith("Another data set and larger networks: what the papers report for CIFAR-10")
    (cell,) = fake.cells("a", "A", published="igebm", dataset="imagenet32")
    fake.write(cell, protocol={"features": "inception-v3"})
    same = build(fake, [cell])
    (note,) = [note for note in same.grid.footnotes if "RTX 3090" in note]
    assert note.startswith("As reported by the papers for ImageNet 32x32")
    assert "nother" not in note
    assert shown(same)["A"][-3] == "62.23"
    assert "not Inception" not in same.to_markdown()
    assert "×1000" in same.to_markdown()
    (cell,) = fake.cells("b", "B", published="igebm", dataset="cifar10")
    fake.write(cell)
    (note,) = [note for note in build(fake, [cell]).grid.footnotes if "RTX 3090" in note]
    assert note.startswith("As reported by the papers for CIFAR-10")
    assert "not comparable" in note


def test_unverified_figures_are_never_printed(fake: Any) -> None:
    cells = fake.cells("a", "A", published="x")
    figure = Published("cifar10", "x", "X", "fid", 1.25, "1.25", "FID", "Paper Table 1", verified=False)
    table = build(fake, cells, figures={("cifar10", "x", "fid"): figure})
    assert shown(table)["A"][-3] == ""
    assert "1.25" not in table.to_csv() + table.to_markdown()


def test_each_paper_figure_has_its_source(fake: Any, grid: list) -> None:
    table = build(fake, grid)
    for row in table.grid.rows:
        for cell in row[-3:]:
            assert not cell.text or any("Source: " in table.grid.footnotes[mark] for mark in cell.marks)


def test_csv_has_every_number(fake: Any, grid: list) -> None:
    table = build(fake, grid)
    read = pd.read_csv(io.StringIO(table.to_csv()), index_col="row")
    assert list(read.index) == ["noise", "real", "a", "b", "c:large", "d"]
    assert read.loc["a", "fid_fresh_mean"] == 10.0
    assert read.loc["a", "n"] == 2
    assert read.loc["a", "runs"] == 3
    assert read.loc["c:large", "gradient_evaluations"] == 1536000


def test_one_table_is_one_data_set(fake: Any) -> None:
    mixed = fake.cells("a", "A") + fake.cells("a", "A", dataset="cifar10")
    with pytest.raises(ValueError, match="one data set; given: cifar10, digits"):
        build(fake, mixed)
    with pytest.raises(ValueError, match="given: none"):
        build(fake, [])


def test_table_code_knows_no_method() -> None:
    source = Path(table.__file__).read_text().lower()
    assert not re.search(r"igebm|clel|plain|vaebm|noise", source)


def test_numbers_for_people() -> None:
    assert [number(x, 1) for x in (1234.56, -0.04, -2.0, None, float("nan"))] == ["1,234.6", "0.0", "−2.0", "", ""]
    assert [letter(i) for i in (0, 25, 26, 27, 52)] == ["a", "z", "aa", "ab", "ba"]


@given(st.text(max_size=40))
def test_markdown_keeps_its_cells(text: str) -> None:
    notes = Footnotes()
    grid = Grid([Header(("a",)), Header((text,))], [[Text(text), Text(text, (notes.mark("x"),))]], notes.texts)
    for line in to_markdown(grid).split("\n")[:3]:
        assert len(re.findall(r"(?<!\\)(?:\\\\)*\|", line)) == 3, line


@given(st.text(max_size=40))
def test_latex_has_only_escaped_ascii(text: str) -> None:
    tex = escape_latex(text)
    assert tex.isascii()
    assert tex.isprintable()
    known = r"\\text[a-z]+\{\}|\$\\?[a-z-]+\$|\\[{}&%$#_]|\\'e|-\{\}|^\{\[\}"
    assert not re.search(r"[\\{}&%$#_~^<>|\"]", re.sub(known, "", tex)), tex


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex is not installed")
def test_latex_compiles(fake: Any, grid: list, tmp_path: Path) -> None:
    table = build(fake, grid)
    nasty = "".join(map(chr, range(32, 127))) + " β ± – — é ñ 漢 --option \\input{x} %"
    # what begins with a bracket must not be taken for the argument of the line's end before it
    headers = [Header(("[first]",)), *table.grid.headers[1:-1], Header(("last", "[95 %]"))]
    rows = [[Text("[row]"), *row[1:]] for row in table.grid.rows]
    table = Table(table.values, Grid(headers, rows, [*table.grid.footnotes, nasty]), table.runs)
    (tmp_path / "table1.tex").write_text(standalone(table.to_latex()), encoding="utf-8")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "table1.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, timeout=60, check=False)
    log = done.stdout.decode(errors="replace")
    assert done.returncode == 0, log[-2000:]
    assert "Overfull \\hbox" not in log
    assert "Missing character" not in log


def test_tables_of_one_document_have_a_page_each(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / f"{name}.tex").write_text(f"table {name}\n")
    out = tmp_path / "both.tex"
    assert main(["latex", str(tmp_path / "a.tex"), str(tmp_path / "b.tex"), "--out", str(out)]) == 0
    assert "{document}\ntable a\n\\newpage\ntable b\n\\end{document}" in out.read_text()


def test_groups_span_their_columns() -> None:
    headers = [Header(("",)), Header(("x",)), Header(("y",), group="G"), Header(("z",), group="G"), Header(("w",))]
    tex = to_latex(Grid(headers, [[Text("1")] * 5]))
    assert r"\multicolumn{2}{l}{} & \multicolumn{2}{c}{G} & \multicolumn{1}{l}{}" in tex
    assert r"\cmidrule(lr){3-4}" in tex


def test_no_line_leaves_the_comment_above_a_table() -> None:
    assert latex_comment(["Command: make x", "Load: 1\n\\input{x}"]) == (
        "% Command: make x\n% Load: 1 \\input{x}\n% \\usepackage{booktabs}\n"
    )
