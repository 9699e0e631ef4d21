"""Some columns of a finished table, by name, as Markdown, LaTeX and CSV: what a paper has of it."""

from __future__ import annotations

import csv
import difflib
import io
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from clel.config import ConfigError, require
from clel.storage.atomic import naming_damage, write_atomically
from experiments.printing.markup import Footnotes, Grid, Header, Text, latex_comment, titled, to_latex, to_markdown
from experiments.printing.parsed import cell, parse_markdown

ALSO = {"s": "time", "h": "time", "ms": "time", "mb": "memory", "gb": "memory", "fid": "distance", "": "method"}
"""Words that a column goes by too, for one of its heading."""


@dataclass(frozen=True)
class Columns:
    """Write some columns of a table beside it: <table>-columns.md, .tex and .csv."""

    table: Path
    """The table in Markdown, such as results/quick/table1.md."""
    columns: str = "method,distance,time"
    """Columns, with commas, each by a word or several of its heading; a unit goes by what it is of, too."""


def main(options: Columns) -> int:
    """Exit status 0."""
    for path in write_columns(options.table, options.columns):
        print(path)
    return 0


def write_columns(page: Path, columns: str) -> list[Path]:
    """Write the named columns of a page's first table beside it, with the lines above it; returns the paths.

    Raises:
        ConfigError: no such page, no table in it, or a name that no column goes by, with those that there are.
    """
    require(page.is_file(), f"{page}: no such table; the Markdown file of one, such as results/quick/table1.md")
    with naming_damage(page, "make report writes it anew"):
        text = page.read_text("utf-8")
    grid = select(read_grid(text, str(page)), [name.strip() for name in columns.split(",") if name.strip()])
    above = [f"{name}: {line}" for name, line in lines_above(text).items()]
    made = {
        ".md": "\n\n".join([*map(titled, above), to_markdown(grid)]),
        ".tex": latex_comment(above) + to_latex(grid),
        ".csv": as_csv(grid),
    }
    paths = [page.with_name(f"{page.stem}-columns{ending}") for ending in made]
    for path, content in zip(paths, made.values(), strict=True):
        write_atomically(path, content)
    return paths


def select(grid: Grid, names: Sequence[str]) -> Grid:
    """The columns of these names in their order, with the footnotes that they have; raises ConfigError for others."""
    known = [heading_words(header) for header in grid.headers]
    require(bool(names), f"no columns; there are: {'; '.join(map(' '.join, known))}")
    chosen: list[int] = []
    for name in names:
        asked = set(name.lower().split())
        found = [i for i, own in enumerate(known) if asked <= set(own)]
        if not found:
            near = difflib.get_close_matches(name, {word for own in known for word in own}, n=1)
            hint = f"did you mean {near[0]!r}? " if near else ""
            raise ConfigError(f"no column {name!r}; {hint}there are: {'; '.join(map(' '.join, known))}")
        chosen.append(next((i for i in found if i not in chosen), found[0]))
        if others := [" ".join(grid.headers[i].lines) for i in found if i != chosen[-1]]:
            taken = " ".join(grid.headers[chosen[-1]].lines)
            print(f"{name}: {taken!r} is taken; more words name another: {'; '.join(others)}", file=sys.stderr)
    notes = Footnotes()

    def kept(marks: Sequence[int]) -> tuple[int, ...]:
        return tuple(notes.mark(grid.footnotes[i]) for i in marks)

    headers = [Header(h.lines, kept(h.marks), h.group) for h in (grid.headers[i] for i in chosen)]
    rows = [[Text(t.text, kept(t.marks)) for t in (row[i] for i in chosen)] for row in grid.rows]
    return Grid(headers, rows, notes.texts)


def heading_words(header: Header) -> list[str]:
    """What a column goes by: the words of its heading, and what its units are of."""
    # what a column is not, and whose something is, are no names of it
    heading = re.sub(r"\bnot\b.*|['’]s\b", "", " ".join((header.group, *header.lines)).lower())
    found = [w for w in re.split(r"[^\w]+", heading) if w]
    return list(dict.fromkeys([*found, *(ALSO[w] for w in found or [""] if w in ALSO)]))


def read_grid(text: str, where: str) -> Grid:
    """The first table of a page in the suite's Markdown, with its footnotes; raises ConfigError where it has none."""
    tokens = parse_markdown(text)
    start = next((i for i, token in enumerate(tokens) if token.type == "table_open"), None)
    if start is None:
        raise ConfigError(f"{where}: has no table")
    end = next(i for i in range(start, len(tokens)) if tokens[i].type == "table_close")
    headers: list[Header] = []
    rows: list[list[Text]] = []
    for place in range(start, end):
        kind, held = tokens[place].type, cell(tokens[place + 1])
        if kind == "tr_open":
            rows.append([])
        elif kind == "th_open":
            headers.append(Header(tuple(held.lines), tuple(map(_place, held.letters))))
        elif kind == "td_open":
            rows[-1].append(Text(held.text, tuple(map(_place, held.letters))))
    notes = []
    for token in tokens[end:]:
        if token.type == "table_open":
            break
        if token.type == "inline" and (held := cell(token)).letters:
            notes.append(held.text)
    return Grid(headers, rows[1:], notes)


def lines_above(text: str) -> dict[str, str]:
    """The lines "**Name:** text" above a page's first table, by name."""
    found: dict[str, str] = {}
    for line in text.splitlines():
        if line.startswith("|"):
            break
        if match := re.match(r"\*\*(.+?):\*\* (.*)", line):
            found[match[1]] = " ".join(cell(token).text for token in parse_markdown(match[2]) if token.type == "inline")
    return found


def as_csv(grid: Grid) -> str:
    """The cells as they are printed, without their footnotes."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([" ".join((h.group, *h.lines)).strip() or "method" for h in grid.headers])
    writer.writerows([cell.text for cell in row] for row in grid.rows)
    return out.getvalue()


def _place(letters: str) -> int:
    """a -> 0, b -> 1, ..., aa -> 26: the inverse of markup.letter."""
    number = 0
    for letter in letters:
        number = 26 * number + ord(letter) - ord("a") + 1
    return number - 1
