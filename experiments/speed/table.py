"""The table of speed and memory as print: columns, footnotes, and the table of exponents."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from textwrap import shorten
from typing import Any

import pandas as pd

from experiments.printing.markup import DASH, Footnotes, Grid, Header, Text
from experiments.printing.numbers import number
from experiments.reading import published
from experiments.reading.published import Figures
from experiments.speed.claims import is_estimate, size_changes
from experiments.speed.scaling import AXES, QUANTITIES

REASON = 200


@dataclass(frozen=True)
class _Column:
    header: Header
    show: Callable[[pd.Series], str]


def significant(value: object, digits: int = 3, scale: float = 1.0) -> str:
    """The number times scale to so many digits, thousands separated; empty for a missing one."""
    if value is None or pd.isna(value):  # type: ignore[call-overload]
        return ""
    scaled = float(value) * scale  # type: ignore[arg-type]
    size = len(str(int(abs(scaled)))) if abs(scaled) >= 1 else 1
    small = 0.0 < abs(scaled) < 0.1
    return number(scaled, digits + 1 if small else max(0, digits - size))


def most_common_engine(values: pd.DataFrame) -> str | None:
    """The engine that most rows have; None where it was not recorded."""
    named = values[values["engine"].fillna("") != ""] if "engine" in values else values[:0]
    return None if named.empty else str(named["engine"].value_counts().index[0])


def speed_grid(values: pd.DataFrame, best: Mapping[str, tuple[float, str]], figures: Figures | None = None) -> Grid:
    """The table; `best` is the ceiling of each number format, (GFLOP/s, the product that reached it)."""
    notes = Footnotes()
    columns = _columns(values, best, notes)
    hours, memory = _reported_headers(notes)
    most, lines = most_common_engine(values), []
    for _, row in values.iterrows():
        ok = row["status"] == "ok"
        line = [Text(str(row["title"]), tuple(notes.mark(text) for text in _remarks(row, most)))]
        line += [Text(column.show(row) if ok else DASH) for column in columns]
        for name in ("hours", "memory"):
            figure = published.reported(_text(row["published"]), name, figures=figures)
            if figure is None:
                line.append(Text())
            else:
                mark = notes.mark(f"Source: {figure.source}." + (f" Note: {figure.notes}." if figure.notes else ""))
                line.append(Text(figure.text() + (" est." if is_estimate(figure) else ""), (mark,)))
        lines.append(line)
    return Grid([Header(("",)), *(column.header for column in columns), hours, memory], lines, notes.texts)


def scaling_grid(rows: Sequence[Mapping[str, Any]]) -> Grid:
    """A line for each curve: the exponents p of time and memory in y ~ x^p, with their standard errors."""
    notes = Footnotes()
    how = notes.mark(
        "p of y ~ x^p by least squares in the logarithms over the points of the range, ± its standard error. Costs "
        "that do not grow pull it down: of a step's launches, or of what memory a process takes whatever the size."
    )
    lines = []
    for title, axis in dict.fromkeys((str(row["title"]), str(row["axis"])) for row in rows):
        part = {row["quantity"]: row for row in rows if (row["title"], row["axis"]) == (title, axis)}
        one = next(iter(part.values()))
        line = [Text(title), Text(AXES[axis]), Text(f"{one['from']:g} to {one['to']:g} ({one['n']} points)")]
        for quantity in QUANTITIES:
            fit = part.get(quantity)
            error = "" if fit is None or fit["error"] is None else f" ± {number(fit['error'], 2)}"
            line.append(Text("" if fit is None else number(fit["exponent"], 2) + error))
        lines.append(line)
    headers = [Header(("",)), Header(("what grows",)), Header(("range",))]
    headers += [Header((name, "exponent"), (how,)) for name in QUANTITIES.values()]
    return Grid(headers, lines, notes.texts)


def _columns(values: pd.DataFrame, best: Mapping[str, tuple[float, str]], notes: Footnotes) -> list[_Column]:
    def column(*lines: str, mark: str = "") -> Header:
        return Header(lines, (notes.mark(mark),) if mark else ())

    found = [
        _Column(column("batch"), lambda row: number(row["images"])),
        _Column(
            column(
                "an iteration, ms",
                "median (IQR)",
                mark="One iteration of the trainer: batch, chains, losses, backward, optimisers, average of weights. "
                f"Median and interquartile range over {_rounds(values)}, warm-up excluded, the device waited for in "
                "each.",
            ),
            lambda row: (
                f"{significant(row['iteration_ms'])} ({significant(row['iteration_ms_q3'] - row['iteration_ms_q1'])})"
            ),
        ),
        _Column(
            column(
                "chains'",
                "share",
                mark="Of an iteration: what its K Langevin steps take, from iterations of K steps and of one; over all "
                "stages, in proportion to their time, where a method has several.",
            ),
            lambda row: _percent(row["chain_share"]),
        ),
        _Column(column("an image,", "ms", mark="An iteration's time divided by its batch."), _show("image_ms")),
        _Column(column("images/s"), _show("images_per_s")),
        _Column(
            column(
                "Langevin",
                "steps/s",
                mark="In training, of the whole batch of chains at once: what one step more costs.",
            ),
            _show("steps_per_s"),
        ),
        _Column(
            column(
                "a sampling",
                "step, ms",
                mark="Of the sampler, on as many images as an iteration has; the difference "
                "between sampling with steps and without, divided by their number. Empty where sampling takes none.",
            ),
            _show("sampling_step_ms"),
        ),
        _Column(
            column(
                "peak memory,",
                "MB",
                mark="1 MB = 1,000,000 bytes. On a GPU the allocator's peak, without what recorded chains hold "
                "between replays, about the activations of one step; on the CPU the peak of a fresh process that "
                "trains and does nothing else, minus what it held after its imports.",
            ),
            lambda row: number(row["peak_memory_bytes"], 0, 1e-6),
        ),
        _Column(column("parameters"), lambda row: number(row["parameters"])),
        _Column(
            column(
                "GFLOP",
                "an iteration",
                mark="Matrix products and convolutions of the network as published, forward and backward; a "
                "multiplication and an addition are two. What an engine computes again on the way back is not counted, "
                "what it folds together is counted whole, and a pass that it leaves out is left out.",
            ),
            _show("gflop"),
        ),
        _Column(column("GFLOP/s"), _show("gflop_per_s")),
    ]
    for dtype, (rate, product) in best.items():
        mark = (
            f"Of an iteration; then of its Langevin steps alone. The ceiling is {rate:,.0f} GFLOP/s, which "
            f"{product} reached on this device in this run, the best of several large matrix products and convolutions."
        )
        found.append(_Column(column("share of", f"{dtype}", "ceiling", mark=mark), _shares(dtype)))
    found.append(
        _Column(
            column(
                "paper's",
                "schedule, h",
                mark=_schedule_mark(values),
            ),
            _show("hours"),
        )
    )
    return found


def _rounds(values: pd.DataFrame) -> str:
    """How many rounds the rows have, the commonest first: "15 rounds (A / B: 7; C: 4)"."""
    titles: dict[int, list[str]] = {}
    for _, row in values[values["status"] == "ok"].iterrows():
        titles.setdefault(int(row["rounds"]), []).append(str(row["title"]))
    if not titles:
        return "the rounds"
    most, *others = sorted(titles, key=lambda n: -len(titles[n]))
    apart = "; ".join(f"{' / '.join(titles[n])}: {n}" for n in others)
    return f"{most} rounds" + (f" ({apart})" if apart else "")


def _schedule_mark(values: pd.DataFrame) -> str:
    text = (
        "Iterations of the method's preset at the paper's size, times what one with its K Langevin steps and batch B "
        "would take here: (t(1) + (K - 1) times a step) B / b, t measured at batch b, time taken to be proportional to "
        "the batch. With smaller networks no forecast of what the paper's take."
    )
    good = values[values["status"] == "ok"]
    titles: dict[str, list[str]] = {}
    for _, row in good.iterrows():
        if change := size_changes(row):
            titles.setdefault(change, []).append(str(row["title"]))
    listed = "; ".join(f"{' / '.join(names)}: {change}" for change, names in titles.items())
    return text + (f" From the sizes here to the paper's: {listed}." if listed else "")


def _reported_headers(notes: Footnotes) -> tuple[Header, Header]:
    mark = notes.mark(
        "As reported for CIFAR-10, on one RTX 3090 with 24 GB, with the papers' networks; est.: estimated there, not "
        "measured. Comparable with nothing here unless the device is that one and the profile is paper."
    )
    group = "reported, RTX 3090"
    return Header(("time", "h"), (mark,), group), Header(("memory", "GB"), (mark,), group)


def _remarks(row: pd.Series, most: str | None) -> list[str]:
    found = []
    title = row["title"]
    if row["status"] != "ok":
        found.append(f"{title}: {row['status']} ({shorten(str(row['reason']), REASON)}).")
        return found
    if row["engine"] and row["engine"] != most:
        found.append(f"Engine {row['engine']}, where most rows have {most}.")
    if isinstance(row["remark"], str):
        found.append(f"{title}: {row['remark']}.")
    if row["composed"]:
        found.append(
            f"{title}: an iteration would take too long here; put together from shorter chains, "
            "t(1) + (K - 1) (t(n) - t(1)) / (n - 1) for K steps."
        )
    if row["stages"]:
        found.append(
            f"{title}: {row['stages']}. The row mixes them as its schedule does; memory is the largest stage's."
        )
    if not row["finite"]:
        found.append(f"{title}: the loss was no longer finite in the last round.")
    return found


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _show(name: str) -> Callable[[pd.Series], str]:
    return lambda row: significant(row[name])


def _shares(dtype: str) -> Callable[[pd.Series], str]:
    """The iteration's share of the ceiling, then that of its Langevin steps."""

    def show(row: pd.Series) -> str:
        whole, steps = (_percent(row[f"{name}_{dtype}"]) for name in ("share", "step_share"))
        return f"{whole}; {steps}" if steps else whole

    return show


def _percent(value: float) -> str:
    return "" if pd.isna(value) else f"{number(value, 0, 100.0)} %"
