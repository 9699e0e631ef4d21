"""How a method looks: its colour and marker are the same in every figure and on every page, whatever else is in it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from baselines import METHODS
from experiments.printing.drawing import COLOURS, DASHES

MARKERS = ("o", "s", "^", "D", "v", "P", "X")


@dataclass(frozen=True)
class Style:
    """colour and marker are the method's; dash tells its rows in one figure apart."""

    colour: str
    marker: str
    dash: str


def row_styles(rows: Sequence[str]) -> dict[str, Style]:
    """The style of each row of a table, by keys such as "clel", "clel:large" and "clel[lr=0.001]".

    Methods that are not of this suite take the colours that are left, in the order of their rows.
    """
    known, found, seen = list(METHODS), {}, dict[str, int]()
    for row in rows:
        method = re.split(r"[:\[]", row, maxsplit=1)[0]
        if method not in known:
            known.append(method)
        number, before = known.index(method), seen.get(method, 0)
        seen[method] = before + 1
        found[row] = Style(COLOURS[number % len(COLOURS)], MARKERS[number % len(MARKERS)], DASHES[before % len(DASHES)])
    return found
