"""The study's tables in Markdown, from its rows alone."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from experiments.study.rows import own_noise
from experiments.study.settings import LIVE
from experiments.tables import number


def chains_table(rows: pd.DataFrame) -> str:
    """Two tables, means over the seeds with minimum to maximum: weights against steps, and kinds of chains."""
    seeds = ", ".join(str(s) for s in sorted(rows["seed"].unique()))
    space = " / ".join(sorted(rows["features"].unique()))
    commits = ", ".join(sorted({str(sha)[:12] for sha in rows["git_sha"].dropna()})) or "not recorded"
    about = (
        f"Fréchet distances in {space} features, not FIDs; mean over the seeds {seeds}, minimum to maximum in brackets."
    )
    return "\n".join(
        [
            f"{about} Energies in thousandths. Commit {commits}.",
            "",
            *_weights(rows),
            "",
            *_kinds(rows),
            "",
        ]
    )


def _weights(rows: pd.DataFrame) -> list[str]:
    """A line a restart rate and half-life: the buffer, fresh chains at their best and at the end, energy, brightness."""
    end = rows["steps"].max()
    head = ["restarts", "weights: half-life, images", "buffer", "fresh, best", "at steps", "ratio to buffer"]
    head += [f"fresh, {end} steps", f"E − E(data), {end}", f"E(data), {end}", f"pixel − data, {end}"]
    head += ["effective classes, best", f"{end} steps"]
    lines = []
    for (restart, half_life), part in rows[_own(rows, "fresh")].groupby(["restart", "half_life"]):
        buffer = rows[(rows["kind"] == "buffer") & (rows["restart"] == restart)]["distance"]
        means = part.groupby("steps")["distance"].mean()
        best = means.idxmin()
        first, last = part[part["steps"] == best], part[part["steps"] == end]
        lines.append(
            [
                f"{100 * restart:g} %",
                "live" if half_life == LIVE else f"{half_life:,.0f}",
                spread(buffer),
                spread(first["distance"]),
                str(best),
                number(means[best] / buffer.mean(), 1),
                spread(last["distance"]),
                number((last["energy"] - last["energy_data"]).mean(), 2, 1e3),
                number(last["energy_data"].mean(), 2, 1e3),
                number((last["intensity"] - last["intensity_data"]).mean(), 3),
                number(first["effective_classes"].mean(), 1),
                number(last["effective_classes"].mean(), 1),
            ]
        )
    return markdown(head, lines)


def _kinds(rows: pd.DataFrame) -> list[str]:
    """A line a restart rate and kind of chain under live weights: its distance at a few numbers of steps."""
    steps = [k for k in sorted(rows["steps"].unique()) if k > 0]
    shown = [k for k in (30, 50, 100, 200) if k in steps] or steps
    own = own_noise(rows)
    lines = []
    names = {"fresh": "from noise", "mixture": "from noise, mixture of models", "continued": "the buffer run on"}
    live = rows[(rows["half_life"] == LIVE) & rows["kind"].isin(names)]
    for (restart, kind, noise), part in live.groupby(["restart", "kind", "noise"], sort=True):
        name = names[kind] + ("" if noise == own else f", sampler's noise {noise:g}")
        cells = (part[part["steps"] == k] for k in shown)
        lines.append([f"{100 * restart:g} %", name, *(spread(cell["distance"]) for cell in cells)])
    return markdown(["restarts", "chains, live weights", *(f"{k} steps" for k in shown)], lines)


def _own(rows: pd.DataFrame, kind: str) -> pd.Series:
    return (rows["kind"] == kind) & (rows["noise"] == own_noise(rows))


def spread(values: pd.Series) -> str:
    """mean (min to max), the mean alone for a single value."""
    text = number(values.mean(), 2)
    return text if len(values) < 2 else f"{text} ({number(values.min(), 2)} to {number(values.max(), 2)})"


def markdown(head: Sequence[str], lines: Sequence[Sequence[str]]) -> list[str]:
    """The lines of a GitHub table, all columns but the first two to the right."""
    rule = [":--", ":--", *["--:"] * (len(head) - 2)]
    return ["| " + " | ".join(cells) + " |" for cells in (head, rule, *lines)]
