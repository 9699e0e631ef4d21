"""Columns of a finished table by name: what was printed is read back whole, and some of it is written beside."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clel.config import ConfigError
from experiments.cli import main
from experiments.printing.chosen import heading_words, lines_above, read_grid, select, write_columns
from experiments.printing.markup import Grid, Header, Text, titled, to_markdown

GRID = Grid(
    [
        Header(("",)),
        Header(("Fréchet distance ↓", "a_space, not FID"), (0,)),
        Header(("training", "s")),
        Header(("memory, GB",), (1,), "reported"),
    ],
    [
        [Text("A|B", (2,)), Text("0.26 ± 0.09 (n=5)"), Text("1,291"), Text("7 est.", (3,))],
        [Text("C*_"), *[Text("–")] * 3],
    ],
    ["One [note], with <b>.", "By others.", "A|B: diverged.", "Source: a paper."],
)
TEXT = st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z"), exclude_characters="<>"), max_size=12)


def test_a_table_is_read_back_as_it_was_printed() -> None:
    """But for groups, which Markdown has as a first line of the heading."""
    found = read_grid(to_markdown(GRID), "here")
    assert found.rows == GRID.rows and found.footnotes == GRID.footnotes
    assert [h.marks for h in found.headers] == [h.marks for h in GRID.headers]
    assert found.headers[1].lines == GRID.headers[1].lines and found.headers[3].lines == ("reported:", "memory, GB")


@given(st.lists(st.tuples(TEXT, TEXT), min_size=1, max_size=4))
def test_any_text_is_read_back(cells: list[tuple[str, str]]) -> None:
    grid = Grid([Header(("",)), Header(("x",))], [[Text(a), Text(b)] for a, b in cells], ["a note"])
    assert read_grid(to_markdown(grid), "here").rows == grid.rows


def test_names_are_words_of_the_heading_and_what_units_are_of() -> None:
    assert heading_words(GRID.headers[0]) == ["method"] and {"training", "s", "time"} <= set(
        heading_words(GRID.headers[2])
    )
    chosen = select(GRID, ["time", "method", "reported memory"])
    assert [h.lines[0] for h in chosen.headers] == ["training", "", "memory, GB"]
    # what a column is not is no name of it
    fid = Grid([Header(("distance ↓", "not Inception FID")), Header(("FID ↓",), (), "reported")], [])
    assert select(fid, ["fid"]).headers[0].group == "reported"
    assert "time" not in heading_words(Header(("over the buffer's",)))
    # footnotes of what is left, in the order of their first use
    assert chosen.footnotes == ["By others.", "A|B: diverged.", "Source: a paper."]
    assert chosen.rows[0][1].marks == (1,) and chosen.rows[0][2].marks == (2,)


def test_of_several_the_first_is_taken_and_the_others_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    grid = Grid([Header(("training", "steps")), Header(("training", "s"))], [])
    assert select(grid, ["training"]).headers[0].lines == ("training", "steps")
    assert "training: 'training steps' is taken; more words name another: training s" in capsys.readouterr().err


def test_a_name_that_none_goes_by_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no column 'distence'; did you mean 'distance'"):
        select(GRID, ["distence"])
    with pytest.raises(ConfigError, match="no columns"):
        select(GRID, [])
    (tmp_path / "empty.md").write_text("nothing")
    with pytest.raises(ConfigError, match="has no table"):
        write_columns(tmp_path / "empty.md", "method")
    assert main(["columns", "--table", str(tmp_path / "none.md")]) == 2


def test_the_files(tmp_path: Path) -> None:
    page = tmp_path / "table1.md"
    above = [titled("Table 1: of a_b [c]."), titled("Command: make table1 SET='a=1'")]
    page.write_text("\n\n".join([*above, to_markdown(GRID)]), encoding="utf-8")
    assert main(["columns", "--table", str(page), "--columns", "method,distance"]) == 0
    made = (tmp_path / "table1-columns.md").read_text("utf-8")
    assert lines_above(made) == {"Table 1": "of a_b [c].", "Command": "make table1 SET='a=1'"}
    assert read_grid(made, "here").rows[0] == [Text("A|B", (1,)), Text("0.26 ± 0.09 (n=5)")]
    assert r"A|B" not in (tex := (tmp_path / "table1-columns.tex").read_text("utf-8")) and r"0.26 $\pm$ 0.09" in tex
    with open(tmp_path / "table1-columns.csv", encoding="utf-8") as file:
        head, first, _ = csv.reader(file)
    assert head == ["method", "Fréchet distance ↓ a_space, not FID"] and first == ["A|B", "0.26 ± 0.09 (n=5)"]
