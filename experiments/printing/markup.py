"""A table of texts with footnotes, as GitHub Markdown and as LaTeX (booktabs).

Every text is escaped here and nowhere else, so an error message in a footnote cannot break a table.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field

DASH, MINUS = "–", "−"
_LATEX = {"\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
_LATEX |= {"&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "<": r"\textless{}", ">": r"\textgreater{}"}
_LATEX |= {"|": r"\textbar{}", '"': "''", "±": r"$\pm$", "×": r"$\times$", "≥": r"$\geq$", "≤": r"$\leq$"}
_LATEX |= {
    "↓": r"$\downarrow$",
    "↑": r"$\uparrow$",
    DASH: r"\textendash{}",
    "—": r"\textemdash{}",
    MINUS: "$-$",
    "é": r"\'e",
    "’": "'",
}


@dataclass(frozen=True)
class Text:
    """What one cell shows, and the footnotes it refers to (positions in the table's footnotes)."""

    text: str = ""
    marks: tuple[int, ...] = ()


@dataclass(frozen=True)
class Header:
    """A column's heading: lines from the top, footnotes, and the group whose name spans neighbours ("" for none)."""

    lines: tuple[str, ...]
    marks: tuple[int, ...] = ()
    group: str = ""


@dataclass(frozen=True)
class Grid:
    """A table ready for print: one Header a column, rows of as many Texts, footnotes in the order of their marks."""

    headers: Sequence[Header]
    rows: Sequence[Sequence[Text]]
    footnotes: Sequence[str] = ()


@dataclass
class Footnotes:
    """Footnotes in the order of first use; the same text twice is one footnote."""

    texts: list[str] = field(default_factory=list)

    def mark(self, text: str) -> int:
        """The position of this footnote, added where it is new."""
        if text not in self.texts:
            self.texts.append(text)
        return self.texts.index(text)


def letter(mark: int) -> str:
    """Footnote letters a, b, ..., z, aa, ab, ... for marks 0, 1, ..."""
    return (letter(mark // 26 - 1) if mark >= 26 else "") + chr(ord("a") + mark % 26)


def escape_markdown(text: str) -> str:
    """The text, on one line, so that GitHub Markdown shows it letter by letter, also within a table."""
    text = re.sub(r"([\\|*_`~$\[\]])", r"\\\1", _one_line(text))
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def escape_latex(text: str) -> str:
    """The text, on one line, for pdflatex without further packages; letters it cannot set become their code point."""
    tex = "".join(_LATEX.get(character) or _ascii(character) for character in _one_line(text))
    tex = re.sub("-(?=-)", "-{}", tex)  # an option's two hyphens are not a dash
    return re.sub(r"^\[", "{[}", tex)  # a line's end before it would take it for an argument


def titled(line: str) -> str:
    """A line "Name: text" in Markdown, its name in bold and a command as code."""
    name, text = line.split(": ", 1)
    shown = f"`{text}`" if name == "Command" and "`" not in text else escape_markdown(text)
    return f"**{name}:** {shown}"


def to_markdown(grid: Grid) -> str:
    """The table in GitHub Markdown with its footnotes as a list below; group names go into the headings."""
    heads = []
    for header in grid.headers:
        parts = (f"{header.group}:", *header.lines) if header.group else header.lines
        heads.append("<br>".join(map(escape_markdown, parts)) + _markdown_marks(header.marks))
    lines = [heads, [":--"] + ["--:"] * (len(heads) - 1)]
    lines += [[escape_markdown(cell.text) + _markdown_marks(cell.marks) for cell in row] for row in grid.rows]
    notes = [f"- <sup>{letter(i)}</sup> {escape_markdown(note)}" for i, note in enumerate(grid.footnotes)]
    return "\n".join([*(f"| {' | '.join(line)} |" for line in lines), *([""] if notes else []), *notes]) + "\n"


def to_latex(grid: Grid) -> str:
    r"""The table as a booktabs tabular and its footnotes as a paragraph of the line's width, for \input."""
    columns = "l" + "r" * (len(grid.headers) - 1)
    spans, rules = _latex_groups(grid.headers)
    heads = [_latex_head(header, align) for header, align in zip(grid.headers, columns, strict=True)]
    lines = [r"\begingroup\footnotesize\setlength{\tabcolsep}{3.5pt}", rf"\begin{{tabular}}{{@{{}}{columns}@{{}}}}"]
    lines += [r"\toprule", *([f"{spans} \\\\", rules] if rules else []), " & ".join(heads) + r" \\", r"\midrule"]
    for row in grid.rows:
        lines.append(" & ".join(escape_latex(cell.text) + _latex_marks(cell.marks) for cell in row) + r" \\")
    lines += [r"\bottomrule", r"\end{tabular}\par\smallskip", r"\parbox{\linewidth}{\scriptsize\raggedright"]
    lines += [rf"\textsuperscript{{{letter(i)}}}~{escape_latex(note)}\par" for i, note in enumerate(grid.footnotes)]
    return "\n".join([*lines, r"}\par", r"\endgroup"]) + "\n"


def latex_comment(lines: Sequence[str]) -> str:
    r"""Lines that stand above a table, as comments of its .tex, with the package that `to_latex` needs."""
    return "".join(f"% {_one_line(line)}\n" for line in [*lines, r"\usepackage{booktabs}"])


def standalone(*tables: str) -> str:
    """A document of a landscape page around each output of `to_latex`, to be compiled with pdflatex."""
    return "\n".join(
        [
            r"\documentclass[10pt]{article}",
            r"\usepackage{booktabs}",
            r"\usepackage[a4paper,landscape,margin=8mm]{geometry}",
            r"\setlength{\parindent}{0pt}",
            r"\pagestyle{empty}",
            r"\begin{document}",
            "\n\\newpage\n".join(tex.rstrip("\n") for tex in tables),
            r"\end{document}",
            "",
        ]
    )


def _one_line(text: str) -> str:
    """The text without line breaks, letters that do not print (control characters) as their code point."""
    return "".join(c if c.isprintable() else _code_point(c) for c in " ".join(text.split()))


def _code_point(character: str) -> str:
    return f"[U+{ord(character):04X}]"


def _ascii(character: str) -> str:
    if " " <= character <= "~":
        return character
    plain = unicodedata.normalize("NFD", character).encode("ascii", "ignore").decode()
    return plain if plain.isalnum() else _code_point(character)


def _markdown_marks(marks: Sequence[int]) -> str:
    return f"<sup>{','.join(map(letter, marks))}</sup>" if marks else ""


def _latex_marks(marks: Sequence[int]) -> str:
    return rf"\textsuperscript{{{','.join(map(letter, marks))}}}" if marks else ""


def _latex_head(header: Header, align: str) -> str:
    """Lines stacked from the bottom up, so that columns with fewer lines sit on the rule."""
    stacked = r"\\".join(map(escape_latex, header.lines)) + _latex_marks(header.marks)
    return rf"\begin{{tabular}}[b]{{@{{}}{align}@{{}}}}{stacked}\end{{tabular}}"


def _latex_groups(headers: Sequence[Header]) -> tuple[str, str]:
    """The row of group names and the rules under them; empty where no column has a group."""
    spans, rules, start = [], [], 0
    while start < len(headers):
        end = start + 1
        while end < len(headers) and headers[end].group == headers[start].group:
            end += 1
        name = escape_latex(headers[start].group)
        spans.append(rf"\multicolumn{{{end - start}}}{{{'c' if name else 'l'}}}{{{name}}}")
        if name:
            rules.append(rf"\cmidrule({'lr' if end < len(headers) else 'l'}){{{start + 1}-{end}}}")
        start = end
    return " & ".join(spans), "".join(rules)
