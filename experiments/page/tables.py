"""Tables of the suite's, as they were written in Markdown, as HTML: sorted by a click, notes opened by one."""

from __future__ import annotations

import html
import re
from collections.abc import Mapping
from itertools import count

from markdown_it import MarkdownIt
from markdown_it.token import Token

from experiments.printing.markup import DASH
from experiments.printing.parsed import cell, parse_markdown

MARK = re.compile(r"<sup>([a-z]+(?:,[a-z]+)*)</sup>")
NOTE = re.compile(r"<li>\s*(?:<p>)?<sup>([a-z]+)</sup>\s*(.*?)(?:</p>)?\s*</li>", re.DOTALL)
LISTED = re.compile(r"<ul>\s*(?=<li>\s*(?:<p>)?<sup>).*?</ul>", re.DOTALL)
NUMBER = re.compile(r"[<>≤≥~\[(\s]*([−-]?\d[\d,]*(?:\.\d+)?(?:e[−+-]?\d+)?)")


def as_html(text: str, name: str, openers: Mapping[str, str] | None = None) -> str:
    """HTML of a page in Markdown. What it has of HTML is text, but for <sup> and <br>.

    A table sorts by its columns, unless the first cell of a row is blank and stands for the one above.

    Args:
        name: unique on the page, for the ids of notes: "name-1-a" is note a of the first table.
        openers: by a row's title, the id of the dialog that its first cell opens.
    """
    tokens = parse_markdown(text)
    first, above = False, ""
    table: Token | None = None
    row: Token | None = None
    for place, token in enumerate(tokens):
        if token.type == "table_open":
            table, above = token, ""
            table.attrSet("class", "sortable n-last")
        elif token.type == "tr_open":
            row, first = token, True
        elif token.type == "th_open" and not tokens[place + 1].content:
            tokens[place + 1].children = [Token("text", "", 0, content="row")]
        elif token.type == "td_open" and row is not None and table is not None:
            shown = cell(tokens[place + 1]).text
            token.attrSet("data-sort", _sorted_by(shown))
            if first:
                if not shown:
                    table.attrSet("class", "")
                above = shown or above
                row.attrSet("data-row", above)
                if opener := (openers or {}).get(shown):
                    token.attrSet("data-opens", opener)
            first = False
    made: str = MarkdownIt().renderer.render(tokens, MarkdownIt().options, {})
    # each table has footnotes of its own below it, from a on
    parts = re.split(r'(?=<div class="scroll")', _scrolling(made, name))
    return "".join(_with_notes(part, f"{name}-{number}") for number, part in enumerate(parts))


def _sorted_by(shown: str) -> str:
    """A cell's number, or else its text; empty for a dash, which stands last as nothing does."""
    number = NUMBER.match(shown)
    if number:
        return number[1].replace("−", "-").replace(",", "")
    return "" if shown == DASH else shown


def _scrolling(made: str, name: str) -> str:
    """Tables in boxes that scroll by themselves, so that a page is never wider than its window."""
    number = count(1)

    def box(_: re.Match[str]) -> str:
        label = f"{name}, table {next(number)}"
        return f'<div class="scroll" tabindex="0" role="region" aria-label="{label}"><table'

    return re.sub("<table", box, made).replace("</table>", "</table></div>")


def _with_notes(made: str, name: str) -> str:
    """Footnotes as popovers that the letters in the table open; in print they stand below it."""
    notes = {letter: text for listed in LISTED.findall(made) for letter, text in NOTE.findall(listed)}

    def letters(match: re.Match[str]) -> str:
        shown = [_letter(letter, notes.get(letter, ""), name) for letter in match[1].split(",")]
        return f"<sup>{' '.join(shown)}</sup>"

    made = LISTED.sub("", made)
    made = MARK.sub(letters, made)
    kept = [
        f'<div class="note" popover id="{name}-{letter}"><sup>{letter}</sup> {text}</div>'
        for letter, text in notes.items()
    ]
    return made + (f'<div class="notes">{"".join(kept)}</div>' if kept else "")


def _letter(letter: str, text: str, name: str) -> str:
    if not text:
        return letter
    said = html.escape(html.unescape(re.sub("<[^>]+>", "", text)), quote=True)
    return f'<button type="button" class="mark" popovertarget="{name}-{letter}" title="{said}">{letter}</button>'
