"""The study's tables in Markdown, from its rows alone."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import pandas as pd

from experiments.chains.rows import by_chain_setting, own_noise
from experiments.printing.markup import Footnotes, Grid, Header, Text, titled, to_markdown
from experiments.printing.numbers import number
from experiments.runs.chains.settings import LIVE


def chains_table(rows: pd.DataFrame) -> str:
    """Two tables, means over the seeds with minimum to maximum: weights against steps, and kinds of chains."""
    seeds = ", ".join(str(s) for s in sorted(rows["seed"].unique()))
    space = " / ".join(sorted(rows["features"].unique()))
    commits = ", ".join(sorted({str(sha)[:12] for sha in rows["git_sha"].dropna()})) or "not recorded"
    about = f"Fréchet distances in {space} features, not FIDs; mean over the seeds {seeds}, in brackets their range."
    real = rows[rows["kind"] == "held-out"]["distance"].mean()
    return "\n".join(
        [
            f"{about} E is the mean energy. Held-out real images: {number(real, 2)}. Commit {commits}.",
            "",
            *_weights(rows),
            "",
            *_kinds(rows),
            "",
        ]
    )


def summary(rows: pd.DataFrame) -> str:
    """The table for reading, in seven columns; chains.md is the full one. Of the averages of weights the best one."""
    notes, steps = Footnotes(), sorted(set(rows["steps"]) - {0})
    space = " / ".join(sorted(rows["features"].unique()))
    seeds = ", ".join(str(s) for s in sorted(rows["seed"].unique()))
    ranges = notes.mark("Fréchet distance, not an FID. Mean over the seeds, in brackets from the least to the largest.")
    best = notes.mark("After the number of steps, and with the average of weights, that has the lowest mean.")
    lines = []
    for name, rest in by_chain_setting(rows):
        own = rest[_own(rest, "fresh")]
        means = {
            (half_life, k): part["distance"].mean() for (half_life, k), part in own.groupby(["half_life", "steps"])
        }
        chosen = min((key for key in means if key[0] != LIVE), key=lambda key: _or_infinity(means[key]), default=None)
        live = min((key for key in means if key[0] == LIVE), key=lambda key: _or_infinity(means[key]))
        line = [name, mean_and_range(rest[rest["kind"] == "buffer"]["distance"])]
        for key in (live, chosen):
            half_life, k = key or (LIVE, 0)
            part = own[(own["half_life"] == half_life) & (own["steps"] == k)]
            line += [mean_and_range(part["distance"]), str(k)] if key else ["", ""]
        line.append(number(means.get((LIVE, steps[-1]), float("nan")), 2))
        lines.append([Text(text) for text in line])
    headers = [Header(("restarts",)), Header(("buffer",), (ranges,))]
    for group in ("fresh, live weights", "fresh, averaged"):
        headers += [Header(("distance",), (ranges, best), group), Header(("steps",), (), group)]
    headers.append(Header((f"live, {steps[-1]}", "steps")))
    title = titled(f"Chains: fresh from noise and from the buffer, {space} features, seeds {seeds}.")
    return f"{title}\n\n{to_markdown(Grid(headers, lines, notes.texts))}"


def _weights(rows: pd.DataFrame) -> list[str]:
    """A line a restart rate and half-life: the buffer, fresh chains at their best and along the way, what they are."""
    steps = sorted(set(rows["steps"]) - {0})
    end, shown = steps[-1], [k for k in (30, 40, 50) if k in steps]
    head = ["restarts", "weights: half-life, images", "buffer", "fresh, best", "at steps", "over the buffer's"]
    head += [*(f"fresh, {k} steps" for k in shown), f"{end}", "E / E(data), best", f"{end}", f"pixel − data, {end}"]
    head += ["effective classes, best", f"{end}"]
    lines = []
    for (name, rest), half_life in itertools.product(
        by_chain_setting(rows), sorted(set(rows[_own(rows, "fresh")]["half_life"]))
    ):
        part = rest[_own(rest, "fresh") & (rest["half_life"] == half_life)]
        buffer = rest[rest["kind"] == "buffer"].set_index("seed")["distance"]
        at = {k: part[part["steps"] == k].set_index("seed") for k in steps}
        best = min(steps, key=lambda k: _or_infinity(at[k]["distance"].mean()))
        first, last = at[best], at[end]
        lines.append(
            [
                name,
                "live" if half_life == LIVE else f"{half_life:,.0f}",
                mean_and_range(buffer),
                mean_and_range(first["distance"]),
                str(best),
                mean_and_range(first["distance"] / buffer),
                *(number(at[k]["distance"].mean(), 2) for k in shown),
                number(last["distance"].mean(), 2),
                number((first["energy"] / first["energy_data"]).mean(), 2),
                number((last["energy"] / last["energy_data"]).mean(), 2),
                number((last["intensity"] - last["intensity_data"]).mean(), 3),
                number(first["effective_classes"].mean(), 1),
                number(last["effective_classes"].mean(), 1),
            ]
        )
    return markdown(head, lines)


def _kinds(rows: pd.DataFrame) -> list[str]:
    """A line a restart rate and kind of chain under live weights: its distance at a few numbers of steps."""
    steps = [k for k in sorted(rows["steps"].unique()) if k > 0]
    shown = [k for k in (5, 10, 30, 50, 80) if k in steps] or steps
    own = own_noise(rows)
    lines = []
    names = {"fresh": "from noise", "mixture": "from noise, mixture of models", "continued": "the buffer run on"}
    for setting, rest in by_chain_setting(rows):
        live = rest[(rest["half_life"] == LIVE) & rest["kind"].isin(names)]
        for (kind, noise), part in live.groupby(["kind", "noise"], sort=True):
            name = names[kind] + ("" if noise == own else f", sampler's noise {noise:g}")
            cells = (part[part["steps"] == k] for k in shown)
            lines.append([setting, name, *(mean_and_range(cell["distance"]) for cell in cells)])
    return markdown(["restarts", "chains, live weights", *(f"{k} steps" for k in shown)], lines)


def _or_infinity(value: float) -> float:
    return float("inf") if pd.isna(value) else value


def _own(rows: pd.DataFrame, kind: str) -> pd.Series:
    return (rows["kind"] == kind) & (rows["noise"] == own_noise(rows))


def mean_and_range(values: pd.Series) -> str:
    """mean (min to max), the mean alone for a single value."""
    text = number(values.mean(), 2)
    return text if len(values) < 2 else f"{text} ({number(values.min(), 2)} to {number(values.max(), 2)})"


def markdown(head: Sequence[str], lines: Sequence[Sequence[str]]) -> list[str]:
    """The lines of a GitHub table, all columns but the first two to the right."""
    rule = [":--", ":--", *["--:"] * (len(head) - 2)]
    return ["| " + " | ".join(cells) + " |" for cells in (head, rule, *lines)]
