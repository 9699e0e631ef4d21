"""The tables of conditional sampling: the one for reading, its complete CSV, and that of the sweep."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import mean
from typing import Any

import pandas as pd

from baselines import METHODS
from clel.runs.config import Run
from experiments.conditional.settings import MARGIN, RECALL, ROWS, GuidedLine, best, by_setting
from experiments.measured.artefact import Found, found_by_row
from experiments.printing.headings import data_title
from experiments.printing.markup import DASH, Footnotes, Grid, Header, Text
from experiments.printing.numbers import number, spread
from experiments.reading.published import reported

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


def about(found: Sequence[Found], above: Sequence[str], swept: bool) -> list[str]:
    """The lines above the table, "Name: text"."""
    first = found[0]
    settings = "; ".join(
        f"{own[0].cell.title}: {guidance_in_words(own[0].protocol)}{began(own)}" for own in trained(found)
    )
    why = "chosen by make conditional-sweep on other seeds" if swept else "not chosen by a sweep of this profile"
    return [
        f"Conditional: classes drawn without conditional training, data set {data_title(first.cell.dataset)}, profile "
        f"{first.cell.profile}. CLEL by E(x) − w u(x)·z with z the normalised sum of its encodings of the class's "
        "training images; with spread, also of one of them, drawn for each chain; restarts are times that chains start "
        "anew whose u(x) or h(x) is nearer to another class's z. The plain EBM by E(x) − w log p(y | x), with p of a "
        "classifier trained with labels.",
        f"Judge: {judges(found)}; it took no part in training or in settings.",
        f"Settings: {settings}; {why}. {first.protocol.each} chains a class.",
        *above,
    ]


def judges(found: Sequence[Found]) -> str:
    """Who judged, and how well each judges held-out images."""
    named = {
        f"{v['judge']} ({v['judge_accuracy']:.3f} of held-out images right)" for v in (f.values for f in found) if v
    }
    return "; ".join(sorted(named)) or "none yet"


def guidance_in_words(protocol: Any) -> str:
    """The guidance of a row for people."""
    g = protocol.guidance
    words = [f"w = {g.weight:g}", f"{g.steps} steps from {g.start}" if g.steps else f"training's steps from {g.start}"]
    words += ["centred latents"] * g.centred
    words += [f"spread {g.spread:g}"] * (g.spread > 0)
    words += [f"at most {g.restarts} restarts"] * (g.restarts > 0)
    words += [f"{g.rounds} rounds, disturbed"] * g.disturbed
    return ", ".join(words)


def began(own: Sequence[Found]) -> str:
    """How often the chains of a row started anew, where they may."""
    means = [one.values["restarts"] for one in own if one.values and "restarts" in one.values]
    return f" ({number(mean(means), 2)} a chain in the mean)" if means and own[0].protocol.guidance.restarts else ""


def trained(found: Sequence[Found]) -> list[list[Found]]:
    """The rows with training."""
    return [own for own in found_by_row(found).values() if isinstance(own[0].cell.run, Run)]


def conditional_grid(found: Sequence[Found]) -> Grid:
    """The table for reading: a row for real images and each method."""
    notes = Footnotes()
    seeds = notes.mark("Mean ± sample standard deviation over the seeds. Means are over the classes.")
    kept = notes.mark(
        "Recall of a class's images with respect to the class's training images, and in brackets the least share, over "
        "the classes, of what as many unconditional samples of that class have."
    )
    known = notes.mark("Accuracy on held-out images of 20 nearest neighbours, and of logistic regression, on h(x).")
    headers = [
        Header(("",)),
        Header(("of the class", "asked for ↑"), (seeds,)),
        Header(("lowest", "class ↑")),
        Header(("distance", "in class ↓")),
        Header(("recall in class ↑", "(of unconditional)"), (kept,)),
        Header(("h: neighbours,", "linear"), (known,)),
        Header(("paper,", "CIFAR-10")),
    ]
    lines = []
    for own in found_by_row(found).values():
        title = own[0].cell.title
        good = [one.values for one in own if one.values is not None]
        failed = "; ".join(f"seed {one.cell.seed}: {one.run.status}" for one in own if one.values is None)
        marks = (notes.mark(f"{title}: {failed}."),) if failed else ()
        cells = [Text(title, marks)]
        if not good:
            lines.append([*cells, *[Text(DASH)] * 5, Text(paper_diagonal() if own[0].cell.row == ROWS[0] else "")])
            continue
        shares = [share for values in good if (share := least_share(values)) is not None]
        recall = spread([in_class(values, "recall") for values in good], 2)
        recall += f" ({mean(shares):.2f})" if shares else ""
        looked = [f"{mean(v[key] for v in good):.3f}" for key in ("knn_h", "linear_h") if all(key in v for v in good)]
        cells += [
            Text(spread([values["accuracy"] for values in good], 3)),
            Text(spread([min(c["correct"] / c["n"] for c in values["classes"]) for values in good], 2)),
            Text(spread([in_class(values, "distance") for values in good], 2)),
            Text(recall),
            Text(", ".join(looked)),
            Text(paper_diagonal() if own[0].cell.row == ROWS[0] else ""),
        ]
        lines.append(cells)
    return Grid(headers, lines, notes.texts)


def paper_diagonal() -> str:
    """The mean of the paper's diagonal, from its figure; empty where its figures are not verified."""
    figures = [reported(f"conditional-{name}", "p_correct") for name in CLASSES]
    values = [figure.value for figure in figures if figure is not None]
    return f"{mean(values):.3f}" if len(values) == len(CLASSES) else ""


def in_class(values: Any, key: str) -> float:
    """The mean over the classes."""
    return mean(c[key] for c in values["classes"])


def least_share(values: Any) -> float | None:
    """min over the classes of recall / recall of unconditional samples; None where nothing can be compared."""
    shares = [
        c["recall_matched"] / c["recall_unconditional"] for c in values["classes"] if c.get("recall_unconditional")
    ]
    return min(shares, default=None)


def complete(found: Sequence[Found]) -> str:
    """A line a run and class, with the counts of its confusion row."""
    rows = []
    for one in found:
        base = {"row": one.cell.row, "title": one.cell.title, "run": one.cell.run_name, "seed": one.cell.seed}
        base |= {"status": one.run.status, "reason": one.run.reason, "settings": guidance_in_words(one.protocol)}
        if one.values is None:
            rows.append(base)
            continue
        others = {k: v for k, v in one.values.items() if k not in ("classes", "confusion")}
        names = [c["class"] for c in one.values["classes"]]
        for of_class, counts in zip(one.values["classes"], one.values["confusion"], strict=True):
            judged = {f"judged_{name}": count for name, count in zip(names, counts, strict=True)}
            rows.append(base | others | of_class | judged)
    return pd.DataFrame(rows).to_csv(index=False, lineterminator="\n")


def sweep_lines(found: Sequence[Found], above: Sequence[str]) -> list[str]:
    """The lines above the sweep's table."""
    first = found[0]
    return [
        f"Sweep: settings of conditional sampling, data set {data_title(first.cell.dataset)}, profile "
        f"{first.cell.profile}, {first.protocol.each} chains a class.",
        f"Rule: of the settings with which every class keeps {RECALL:.0%} of the recall of unconditional samples, and "
        f"whose share of the class asked for is within {MARGIN:g} of the highest of these, the one that keeps most "
        "recall, in the mean over the seeds.",
        f"Judge: {judges(found)}, not the table's; recall with respect to training images.",
        *above,
    ]


def sweep_grid(lines: Sequence[GuidedLine]) -> Grid:
    """A row a setting, the chosen ones marked."""
    headers = [Header(("",)), Header(("w",)), Header(("steps",)), Header(("spread,", "restarts"))]
    headers += [
        Header(("of the class", "asked for ↑")),
        Header(("least share of", "unconditional recall ↑")),
        Header(("",)),
    ]
    rows = []
    for row in ROWS:
        own = [line for line in lines if line.row == row]
        found = best(own)
        for setting, members in by_setting(own).items():
            rows.append(
                [
                    Text(METHODS[row].title),
                    Text(f"{setting.weight:g}"),
                    Text(str(setting.steps)),
                    Text(f"{setting.spread:g}, {setting.restarts}" if row == ROWS[0] else ""),
                    Text(spread([x.accuracy for x in members], 3)),
                    Text(spread([x.recall for x in members], 2)),
                    Text("chosen" if setting == found else ""),
                ]
            )
    return Grid(headers, rows)
