"""The tables for reading: by how many attributes are asked for, by attribute, and the paper's Figure 4b."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from clel.sampling.attributes import NOT
from experiments.compositional.asked import CELEBA, Triple, subsets
from experiments.compositional.rows import Condition, Rows, additions, mean_or_none, share
from experiments.printing.markup import Footnotes, Grid, Header, Text
from experiments.printing.numbers import number
from experiments.reading.published import reported

NUMBERS = ("nothing", "one attribute", "two attributes", "three attributes", "NOT of one attribute")
PAPER = ("compositional-unconditional", "compositional-young", "compositional-young+female")
PAPER_ROWS = dict(
    zip(
        ((), ("Young",), ("Young", "Female"), ("Young", "Female", "Smiling")),
        (*PAPER, "compositional-young+female+smiling"),
        strict=True,
    )
)
"""Figure 4b's rows, by what was asked."""


def by_number(rows: Rows, triples: Sequence[Triple], features: str) -> Grid:
    """A row for each number of attributes that were asked for: means over all that is declared, and over the runs."""
    notes = Footnotes()
    others = notes.mark("Of the same triple, not asked for: near their base rate where nothing else is pulled along.")
    once = notes.mark("All that is asked for, in one sample; chance is the share of training images that have it all.")
    near = notes.mark(
        f"Frechet distance in the features {features} to the training images that have all that is asked for, and in "
        "brackets that of samples of which nothing was asked. Single values are biased upwards where such images are "
        "few, so that it compares within a row."
    )
    headers = [
        Header(("asked for",)),
        Header(("asked", "in how many ways")),
        Header(("show each", "that is asked")),
        Header(("show others", "of the triple"), (others,)),
        Header(("show all", "at once"), (once,)),
        Header(("times", "chance"), (once,)),
        Header(("distance ↓", "(nothing asked)"), (near,)),
    ]
    lines = [_line(name, own, rows, triples) for name, own in numbered(rows, triples)]
    return Grid(headers, lines, notes.texts)


def numbered(rows: Rows, triples: Sequence[Triple]) -> list[tuple[str, list[Condition]]]:
    """The measured rows by the number of attributes that they ask for, with NOT of one last."""
    asked = dict.fromkeys(chosen for triple in triples for chosen in subsets(triple))
    groups = [[rows[a] for a in asked if len(a) == size and a in rows] for size in range(4)]
    groups.append([row for words, row in rows.items() if len(words) == 1 and words[0].startswith(NOT)])
    return [(name, own) for name, own in zip(NUMBERS, groups, strict=True) if own]


def _line(name: str, own: Sequence[Condition], rows: Rows, triples: Sequence[Triple]) -> list[Text]:
    each = [s for row in own for s in row.each]
    others = [
        share(rows, row.asked, value)
        for row in own
        for triple in triples
        if set(row.asked) <= set(triple)
        for value in triple
        if value not in row.asked
    ]
    nothing = not own[0].asked
    times = mean_or_none(row.all / row.chance for row in own if row.chance)
    distance, before = (mean_or_none(getattr(row, key) for row in own) for key in ("distance", "unasked"))
    return [
        Text(name),
        Text(str(len(own))),
        Text(number(mean_or_none(each), 2)),
        Text(number(mean_or_none(others), 2)),
        Text("" if nothing else number(fmean(row.all for row in own), 2)),
        Text("" if nothing else number(times, 1)),
        Text(number(distance, 2) + ("" if nothing else f" ({number(before, 2)})")),
    ]


def by_attribute(rows: Rows, triples: Sequence[Triple], probed: Mapping[str, tuple[str, float]]) -> Grid:
    """A row for each value that is asked for: what h knows, and the share of samples that show it.

    probed: attribute and its linear accuracy from h, by value.
    """
    notes = Footnotes()
    knows = notes.mark(
        "Share of held-out images of which logistic regression on h(x) tells the attribute: what h does not know "
        "cannot be composed."
    )
    headers = [Header(("",)), Header(("h knows the", "attribute"), (knows,)), Header(("real", "images"))]
    headers += [Header((name,), group="share of samples") for name in ("nothing", "it alone", "one more", "two more")]
    lines = []
    for value, (attribute, accuracy) in probed.items():
        alone = rows.get((value,))
        more = [
            [a for triple in triples for _, a in additions(triple) if value in a and len(a) == size] for size in (2, 3)
        ]
        shares = [mean_or_none(share(rows, a, value) for a in dict.fromkeys(own)) for own in more]
        cells = [accuracy, alone.chance if alone else None, share(rows, (), value), alone.all if alone else None]
        lines.append([Text(f"{value} ({attribute})"), *(Text(number(cell, 2)) for cell in (*cells, *shares))])
    return Grid(headers, lines, notes.texts)


def probed_values(measured: Sequence[Mapping[str, Any]], values: Sequence[str]) -> dict[str, tuple[str, float]]:
    """Attribute, and its linear accuracy from h over the runs, of each value."""
    found = {}
    for value in dict.fromkeys(values):
        name = measured[0]["attribute_of"][value.removeprefix(NOT)]
        found[value] = (name, fmean(m["h"][name] for m in measured))
    return found


def figure_4b(rows: Rows) -> Grid:
    """The paper's Figure 4b, with ours beside where the same was asked."""
    triple = CELEBA.triples[0]
    ours = any(words in rows for words in PAPER_ROWS if words)
    source = {f.source for key in PAPER_ROWS.values() if (f := reported(key, "p_young", "celeba64")) is not None}
    notes = Footnotes()
    mark = notes.mark(
        f"{'; '.join(sorted(source))}: CelebA 64x64, its external classifier, weight, steps and start not stated."
    )
    headers = [Header(("asked for",))]
    for value in triple:
        headers.append(Header(("paper",), (mark,), value))
        if ours:
            headers.append(Header(("here",), group=value))
    lines = []
    for asked, key in PAPER_ROWS.items():
        line = [Text(" and ".join(asked) or "nothing")]
        for value in triple:
            figure = reported(key, f"p_{value.lower()}", "celeba64")
            line.append(Text(figure.text() if figure else ""))
            if ours:
                line.append(Text(number(share(rows, asked, value), 2)))
        lines.append(line)
    return Grid(headers, lines, notes.texts)
