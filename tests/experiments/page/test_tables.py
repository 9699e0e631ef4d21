"""Tables in Markdown as HTML: numbers to sort by, notes that open, and nothing that was text becomes a program."""

from __future__ import annotations

import re

import pytest

from experiments.page.tables import as_html
from experiments.printing.markup import Grid, Header, Text, to_markdown

EVIL = "<img src=x onerror=alert(1)> | `a` *b* [c](javascript:alert(1))"
GRID = Grid(
    [Header(("",)), Header(("distance ↓", "in a space"), (0, 1)), Header(("memory, MB",))],
    [
        [Text("A", (0,)), Text("−1.50 ± 0.20 (n=3)"), Text("1,266")],
        [Text(EVIL), Text("–"), Text("")],
        [Text("real"), Text("[0.00, 0.43]"), Text("12 %")],
    ],
    ["Mean & deviation, <95 %>.", "Not an FID."],
)


def test_cells_sort_by_their_numbers() -> None:
    made = as_html(to_markdown(GRID), "t")
    found = re.findall(r'data-sort="([^"]*)"', made)
    assert [found[i] for i in (0, 1, 2, 4, 5, 6, 7, 8)] == ["A", "-1.50", "1266", "", "", "real", "0.00", "12"]
    grid = Grid([Header(("",)), Header(("p",)), Header(("outcome",))], [[Text("A"), Text("< 0.001"), Text("higher")]])
    assert re.findall(r'data-sort="([^"]*)"', as_html(to_markdown(grid), "t")) == ["A", "0.001", "higher"]
    assert made.count("<table") == 1 and 'class="sortable n-last"' in made and "<th" in made


def test_text_stays_text() -> None:
    made = as_html(to_markdown(GRID), "t")
    assert "<img" not in made and "<a " not in made and "&lt;img src=x onerror=alert(1)&gt;" in made
    assert "<em>" not in made and "<code>" not in made


def test_a_title_with_tags_stays_a_title() -> None:
    """What was escaped in Markdown is text, also where it looks like a mark; the row keeps its dialog."""
    evil = "<sup><sup>a</sup>a</sup><br>x"
    made = as_html(
        to_markdown(Grid(GRID.headers, [[Text(evil, (0,)), Text("1"), Text("2")]], GRID.footnotes)), "t", {evil: "d"}
    )
    assert 'data-opens="d"' in made and made.count('<button type="button" class="mark"') == 3
    assert "&lt;sup&gt;&lt;sup&gt;a&lt;/sup&gt;" in made and made.count("<br>") == 1
    raw = as_html("| x |\n| :-- |\n| <script>alert(1)</script> |\n\n<div onclick=x>\n\ntext <b>bold</b>", "t")
    assert "<script" not in raw and "<div onclick" not in raw and "<b>" not in raw


@pytest.mark.parametrize("text", ["", "words", "---", "    code", "[a]: http://b", "**Command:** ", "<div>"])
def test_a_page_without_a_table_is_shown(text: str) -> None:
    assert "<table" not in as_html(text, "t")


def test_a_table_with_blank_titles_keeps_its_order() -> None:
    """A blank first cell stands for the one above, which no sorting may lose; it is filtered with it."""
    grid = Grid([Header(("",)), Header(("x",))], [[Text("A"), Text("2")], [Text(""), Text("1")]])
    made = as_html(to_markdown(grid), "t")
    assert "sortable" not in made and made.count('data-row="A"') == 2


def test_notes_open_from_their_letters() -> None:
    made = as_html(to_markdown(GRID), "t")
    assert made.count('class="mark"') == 3 and made.count('popovertarget="t-1-a"') == 2
    assert '<div class="note" popover id="t-1-a"><sup>a</sup> Mean &amp; deviation, &lt;95 %&gt;.</div>' in made
    assert 'title="Mean &amp; deviation, &lt;95 %&gt;."' in made and "<ul>" not in made


def test_each_table_of_a_page_has_its_own_notes() -> None:
    other = Grid([Header(("x",), (0,))], [[Text("1")]], ["Another a."])
    made = as_html(f"{to_markdown(GRID)}\n\n## Next\n\n{to_markdown(other)}", "t")
    assert 'popovertarget="t-2-a" title="Another a."' in made and made.count('title="Another a."') == 1
    assert made.count("popover id=") == 3 and made.index("t-1-b") < made.index("<h2>Next</h2>")


def test_a_row_knows_its_title_and_what_it_opens() -> None:
    made = as_html(to_markdown(GRID), "t", {"A": "runs-0"})
    assert '<tr data-row="A">' in made and made.count('data-opens="runs-0"') == 1
