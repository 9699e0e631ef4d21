"""The suite's Markdown read back: of HTML only <sup>, </sup> and <br> mean something, all else is text."""

from __future__ import annotations

from dataclasses import dataclass, field

from markdown_it import MarkdownIt
from markdown_it.token import Token

TAGS = ("<sup>", "</sup>", "<br>")


@dataclass
class ParsedCell:
    """A cell of a table, or a line: its text line by line, and the letters of its footnotes."""

    lines: list[str] = field(default_factory=lambda: [""])
    letters: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        """On one line."""
        return " ".join(self.lines).strip()


def parse_markdown(text: str) -> list[Token]:
    """The tokens of a page. Raw HTML that is none of TAGS becomes text, which a renderer escapes."""
    tokens = MarkdownIt("commonmark", {"html": True}).enable("table").parse(text)
    for token in tokens:
        if token.type == "html_block":
            token.type, token.tag = "code_block", "code"
        for child in token.children or []:
            if child.type == "html_inline" and child.content not in TAGS:
                child.type = "text"
    return tokens


def cell(token: Token) -> ParsedCell:
    """What an inline token holds."""
    found, raised = ParsedCell(), False
    for child in token.children or []:
        if child.type == "html_inline" and child.content != "<br>":
            raised = child.content == "<sup>"
        elif raised:
            found.letters += [letter.strip() for letter in child.content.split(",")]
        elif child.type == "html_inline":
            found.lines.append("")
        else:
            found.lines[-1] += child.content if child.type not in ("softbreak", "hardbreak") else " "
    return found
