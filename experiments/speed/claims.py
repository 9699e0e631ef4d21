"""Published claims on time and memory, put beside what was measured, in sentences made from the numbers.

claims.csv says which rows are compared, by their keys in published.csv; `first|second` names alternatives.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from experiments import published
from experiments.published import Figures, Published

CLAIMS = Path(__file__).with_name("claims.csv")
WORDS = {"hours": "time", "memory": "peak memory"}
MEASURED = {"hours": "hours", "memory": "peak_memory_bytes"}


@dataclass(frozen=True)
class Claim:
    """One comparison: what is claimed, the rows, hours or memory, how the paper puts it, and where."""

    claim: str
    first: tuple[str, ...]
    second: tuple[str, ...]
    quantity: str
    printed: str
    places: str


def load_claims(path: Path = CLAIMS) -> list[Claim]:
    """The claims of the file."""
    with path.open(newline="", encoding="utf-8") as file:
        return [
            Claim(
                line["claim"],
                tuple(line["first"].split("|")),
                tuple(line["second"].split("|")),
                line["quantity"],
                line["printed"],
                line["places"],
            )
            for line in csv.DictReader(file, strict=True)
        ]


def sentences(
    rows: pd.DataFrame, claims: list[Claim], where: str, paper: bool, figures: Figures | None = None
) -> list[str]:
    """A sentence for each claim of which both rows are there.

    Args:
        rows: the table's values, by row key.
        where: device and sizes, in words.
        paper: whether the rows have the paper's networks and sizes; else they are stand-ins for them.
    """
    return [text for claim in claims if (text := _sentence(rows, claim, where, paper, figures)) is not None]


def _sentence(rows: pd.DataFrame, claim: Claim, where: str, paper: bool, figures: Figures | None) -> str | None:
    first, second = _row(rows, claim.first), _row(rows, claim.second)
    if first is None or second is None:
        return None
    word = WORDS[claim.quantity]
    size = (
        f"the paper's networks and sizes, on {where}"
        if paper
        else f"small stand-ins for the paper's networks, on {where}, which need not behave as they do"
    )
    names = f"{first['title']} against {second['title']}"
    said = f"the paper has {claim.printed} ({claim.places})"
    a, b = first[MEASURED[claim.quantity]], second[MEASURED[claim.quantity]]
    if pd.isna(a) or pd.isna(b):
        missing = " and ".join(str(row["title"]) for row, value in ((first, a), (second, b)) if pd.isna(value))
        return f"{claim.claim}: not measured here ({missing} has no result); {said}."
    ratio = a / b
    spread = ""
    if claim.quantity == "hours":
        low, high = (_relative(first, end) / _relative(second, other) for end, other in (("q1", "q3"), ("q3", "q1")))
        spread = f" ({ratio * low:.2f} to {ratio * high:.2f} by the quartiles)"
    reported = _ratio(claim, figures)
    held = ""
    if reported is not None:
        theirs, marks = reported
        held = f", {theirs:.2f} times{marks}; what is measured is {ratio / theirs:.2f} of that"
    return f"{claim.claim}: {ratio:.2f} times the {word}{spread}, {names}; {said}{held}. Measured: {size}."


def _row(rows: pd.DataFrame, keys: tuple[str, ...]) -> pd.Series | None:
    """The row of the first of these published keys that is there; a rung of the ladder before a preset."""
    for key in keys:
        found = rows[rows["published"] == key]
        if len(found):
            return found.sort_values("rung", ascending=False, kind="stable").iloc[0]
    return None


def _relative(row: pd.Series, quartile: str) -> float:
    return float(row[f"iteration_ms_{quartile}"] / row["iteration_ms"])


def _ratio(claim: Claim, figures: Figures | None) -> tuple[float, str] | None:
    """The published ratio of the two, and a mark where one of the figures is an estimate."""
    pair: list[Published] = []
    for keys in (claim.first, claim.second):
        found = (published.reported(key, claim.quantity, figures=figures) for key in keys)
        figure = next((f for f in found if f is not None), None)
        if figure is None:
            return None
        pair.append(figure)
    estimated = any(estimate(figure) for figure in pair)
    return pair[0].value / pair[1].value, " (from an estimate)" if estimated else ""


def estimate(figure: Published) -> bool:
    """Whether its source estimated the figure and did not measure it."""
    return figure.notes.startswith("estimated")
