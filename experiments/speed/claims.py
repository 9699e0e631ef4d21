"""Published claims on time and memory, put beside what was measured, in sentences made from the numbers.

claims.csv says which rows are compared, by their keys in published.csv; `first|second` names alternatives.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from experiments.printing.numbers import number
from experiments.reading import published
from experiments.reading.published import Figures, Published

CLAIMS = Path(__file__).with_name("claims.csv")
PAPERS = "3x32x32"
"""Size of the images in the papers' tables of time and memory."""
WORDS = {"hours": "time of the paper's schedule", "memory": "peak memory"}
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
    rows: pd.DataFrame, claims: list[Claim], measured: str, figures: Figures | None = None, matched: bool = True
) -> list[str]:
    """A sentence for each claim of which both rows are there.

    What is measured is compared with the paper's ratio only where nothing but the networks' size is known to differ:
    the same engine on both sides, the paper's size of images, and for memory the paper's batches. Hours account for
    batches and chains themselves.

    Args:
        rows: the table's values, by row key.
        measured: what was measured and where, in words (`sizes`).
        matched: whether the images have the paper's size.
    """
    return [text for claim in claims if (text := _sentence(rows, claim, measured, figures, matched)) is not None]


def sizes(paper: bool, batch: int | None, where: str) -> str:
    """What the rows are, in words.

    Args:
        paper: whether they have the paper's networks; else they are stand-ins for them.
        batch: images of an iteration that were asked for; each method's own if None.
        where: device and sizes, in words.
    """
    if paper:
        return f"the paper's networks {'and sizes' if batch is None else f'at batch {batch}'}, on {where}"
    return f"small stand-ins for the paper's networks, on {where}, which need not behave as they do"


def _sentence(rows: pd.DataFrame, claim: Claim, measured: str, figures: Figures | None, matched: bool) -> str | None:
    first, second = _row(rows, claim.first), _row(rows, claim.second)
    if first is None or second is None:
        return None
    word = WORDS[claim.quantity]
    names = f"{first['title']} against {second['title']}"
    said = f"the paper has {claim.printed} ({claim.places})"
    a, b = first[MEASURED[claim.quantity]], second[MEASURED[claim.quantity]]
    if pd.isna(a) or pd.isna(b):
        missing = " and ".join(str(row["title"]) for row, value in ((first, a), (second, b)) if pd.isna(value))
        return f"{claim.claim}: not measured here ({missing} has no result); {said}."
    ratio = a / b
    spread = ""
    if claim.quantity == "hours":
        low, high = (first[f"hours_{end}"] / second[f"hours_{other}"] for end, other in (("q1", "q3"), ("q3", "q1")))
        spread = f" ({low:.2f} to {high:.2f} by the quartiles)"
    apart, remarks = _unlike(first, second, claim.quantity)
    if not matched:
        remarks.insert(0, f"Not compared with the paper's ratio, whose images are {PAPERS}; PROFILE=small has these.")
    if claim.quantity == "hours":
        remarks += _where(first, second)
    reported = _ratio(claim, figures)
    held = ""
    if reported is not None and matched:
        theirs, marks = reported
        held = f", {theirs:.2f} times{marks}" + ("" if apart else f"; what is measured is {ratio / theirs:.2f} of that")
    where = "" if matched else ", with images of another size"
    text = f"{claim.claim}{where}: {ratio:.2f} times the {word}{spread}, {names}; {said}{held}. Measured: {measured}."
    return " ".join([text, *remarks])


def _unlike(first: pd.Series, second: pd.Series, quantity: str) -> tuple[bool, list[str]]:
    """Whether the rows differ in what the paper's do not, so that ratios are not compared; and what to say."""
    apart, remarks = False, []
    if first["engine"] != second["engine"]:
        apart = True
        remarks.append(
            f"The engines differ, {first['engine']} for {first['title']} and {second['engine']} for {second['title']}, "
            "so the ratio is one of engines too; ENGINE=float32 puts both on one."
        )
    changes = [(row["title"], size_changes(row)) for row in (first, second)]
    if quantity == "hours" and any(text for _, text in changes):
        listed = "; ".join(f"{title}: {text}" for title, text in changes if text)
        remarks.append(f"Hours are for the paper's sizes ({listed}).")
    if quantity == "memory" and any(row["schedule_batch"] for row in (first, second)):
        apart = True
        listed = "; ".join(
            f"{row['title']}: {row['schedule_batch']}" for row in (first, second) if row["schedule_batch"]
        )
        remarks.append(f"The batches are not the paper's (from here to the paper's: {listed}).")
    return apart, remarks


def _where(first: pd.Series, second: pd.Series) -> list[str]:
    """Where an iteration of the first takes longer, of rows with one network, batch and number of Langevin steps."""
    alike = ("parameters", "images", "langevin_steps", "engine")
    if any(name not in first or first[name] != second[name] for name in alike):
        return []
    outside = [row["iteration_ms"] * (1 - row["chain_share"]) for row in (first, second)]
    more = first["iteration_ms"] - second["iteration_ms"]
    if not more > 0 or pd.isna(outside[0] - outside[1]):
        return []
    return [
        f"An iteration takes {number(more)} ms more, {100 * (outside[0] - outside[1]) / more:.0f} % of it outside the "
        f"Langevin steps ({number(outside[0])} against {number(outside[1])} ms there), and has "
        f"{first['gflop'] / second['gflop']:.2f} times the operations."
    ]


def size_changes(row: pd.Series) -> str:
    """From the sizes of a row to those of the schedule that it stands for: "K 10 to 30, batch 64 to 256"; or ""."""
    texts = (("K", row["schedule_steps"]), ("batch", row["schedule_batch"]))
    return ", ".join(f"{name} {text}" for name, text in texts if isinstance(text, str) and text)


def _row(rows: pd.DataFrame, keys: tuple[str, ...]) -> pd.Series | None:
    """The row of the first of these published keys that is there; a rung of the ladder before a preset."""
    for key in keys:
        found = rows[rows["published"] == key]
        if len(found):
            return found.sort_values("rung", ascending=False, kind="stable").iloc[0]
    return None


def _ratio(claim: Claim, figures: Figures | None) -> tuple[float, str] | None:
    """The published ratio of the two, and a mark where one of the figures is an estimate."""
    pair: list[Published] = []
    for keys in (claim.first, claim.second):
        found = (published.reported(key, claim.quantity, figures=figures) for key in keys)
        figure = next((f for f in found if f is not None), None)
        if figure is None:
            return None
        pair.append(figure)
    estimated = any(is_estimate(figure) for figure in pair)
    return pair[0].value / pair[1].value, " (from an estimate)" if estimated else ""


def is_estimate(figure: Published) -> bool:
    """Whether its source estimated the figure and did not measure it."""
    return figure.notes.startswith("estimated")
