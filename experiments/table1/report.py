"""Everything under results/<profile>/, made from the store, and the copy of a table in the README."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from clel.config import to_dict
from clel.data.augment import NONE
from clel.storage.atomic import write_atomically
from experiments.printing.drawing import drawn
from experiments.printing.files import write_files
from experiments.printing.headings import data_title, feature_spaces, further_spaces
from experiments.printing.markup import latex_comment, titled, to_markdown
from experiments.reading.published import reported_for_all
from experiments.sweep.store import Declared, Stored, by_row, is_reference, load_cells
from experiments.table1 import figures, samples
from experiments.table1.comparisons.files import FILES, comparison_files
from experiments.table1.learned import has_learned, learned
from experiments.table1.summary import summary
from experiments.table1.table import table1

LEARNED = "figures/learned.png"
UNKNOWN = "not recorded"
HASH_DIGITS = 64  # of a SHA-256
# what must be one and the same for all rows of a table, lest their distances mean different things
SHARED = ("features", "features_identity", "reference")
PROTOCOL = {
    "features": "features",
    "features_identity": "identity",
    "features_accuracy": "accuracy",
    "resizing": "resizing",
    "reference": "reference",
    "n_real": "real images",
    "reference_images": "their content",
    "n_fake": "generated images",
    "name": "sampling protocol",
    "chains": "chains",
    "steps": "sampling steps in all",
    "rounds": "measured",
    "augmentation": "augmentation between rounds",
    "restart": "restarts",
    "weights": "weights",
    "engine": "engine",
}


def write_report(
    profile_dir: Path,
    cells: Sequence[Declared],
    runs_dir: Path,
    command: str | None = None,
    kept: Mapping[str, Path] | None = None,
) -> list[Path]:
    """Write summary.md, table1.md, .tex, .csv, runs.csv and figures/*.png into profile_dir; return their paths.

    Also comparisons.*, where there is something to compare, and figures/learned.png, where evaluations during training
    looked at representations; those of an earlier table are removed otherwise.

    cells: the declared grid in the order of the rows, one data set. runs_dir: where their run directories are; runs
    that failed or are missing are shown as such. command: what a reader types to make this report, by default the
    commands that the records name. kept: folders of runs that are not in runs_dir, see `load_cells`. Each file is
    replaced as a whole; the same records give the same text.

    Raises:
        ValueError: no cells, or cells of several data sets.
    """
    runs = load_cells(runs_dir, cells, kept)
    table = table1(cells, runs)
    about = describe_table(cells, runs, command)
    contents: dict[str, str | bytes] = {
        "summary.md": f"{titled(about[0])}\n\n{to_markdown(summary(table.values, list(runs.values())))}",
        "table1.md": "\n\n".join([*(titled(line) for line in about), table.to_markdown()]),
        "table1.tex": latex_comment(about) + table.to_latex(),
        "table1.csv": table.to_csv(),
        "runs.csv": runs_csv(cells, table.runs),
        **drawn("figures/distance_over_time", figures.distance_over_time(cells, runs)),
        **drawn("figures/distance_over_gradients", figures.distance_over_gradients(cells, runs)),
        **drawn("figures/distance_over_steps", figures.distance_over_steps(cells, runs)),
        **drawn("figures/energy_gap", figures.energy_gap(cells, runs)),
        **drawn("figures/samples", samples.sample_grids(cells, runs)),
    }
    if has_learned(runs):
        contents |= drawn("figures/learned", learned(cells, runs))
    contents |= comparison_files(cells, runs, about)
    for name in {*FILES, LEARNED} - contents.keys():
        (profile_dir / name).unlink(missing_ok=True)
    return write_files(profile_dir, contents)


def runs_csv(cells: Sequence[Declared], runs: pd.DataFrame) -> str:
    """One row a run; `variant` is what its row of the table changes of the preset, "lr=0.01", empty where nothing."""
    rows, table = {cell.run_name: cell.row for cell in cells}, runs.copy()
    table.insert(3, "variant", [rows[name].partition("[")[2].removesuffix("]") for name in table.index])
    return table.to_csv(lineterminator="\n")


def describe_table(cells: Sequence[Declared], runs: Mapping[str, Stored], command: str | None = None) -> list[str]:
    """The lines above a table, "Name: text": what, protocol, seeds, command, commit and machine.

    The last one is a warning where runs of one table were not measured alike.
    """
    rows = by_row(cells)
    trained = [c for members in rows.values() for c in members if not is_reference(runs[c.run_name])]
    seeds = sorted({cell.seed for cell in trained})
    profiles = ", ".join(_distinct(cell.profile for cell in cells))
    records = [run.record for run in runs.values() if run.record]
    provenance = [record.get("provenance") or {} for record in records]
    dataset = data_title(cells[0].dataset)
    commits = _distinct(
        f"{str(p['git_sha'])[:12]}{' with uncommitted changes' if p.get('git_dirty') else ''}"
        for p in provenance
        if p.get("git_sha")
    )
    machines = _distinct(
        ", ".join([str(p["device"]), *(f"{name} {p[name]}" for name in ("torch", "python") if p.get(name))])
        for p in provenance
        if p.get("device")
    )
    commands = [command] if command else _distinct(str(p["command"]) for p in provenance if p.get("command"))
    named = PROTOCOL | _of_further(runs)
    lines = [
        f"Table 1: unconditional generation, data set {dataset}, profile {profiles}{equal_time(cells, runs)}.",
        f"Protocol: {_protocol(rows, runs)}.",
        f"Seeds: {', '.join(map(str, seeds)) or 'none'}.",
        f"Command: {'; '.join(commands) or UNKNOWN}",
        f"Commit: {'; '.join(commits) or UNKNOWN}. Machine: {'; '.join(machines) or UNKNOWN}.",
    ]
    lines += _reported(runs, cells[0].dataset)
    shared = (*SHARED, *(f"{key}_features_identity" for key in further_spaces(runs.values())))
    mixed = [named[key] for key in shared if len(_distinct(p[key] for p in _protocols(runs) if key in p)) > 1]
    if mixed:
        lines.append(f"Warning: rows differ in {', '.join(mixed)}; their distances must not be compared.")
    return [" ".join(line.split()) for line in lines]


def equal_time(cells: Sequence[Declared], runs: Mapping[str, Stored]) -> str:
    """For how long, and on what, the runs were trained; empty where a number of iterations said when to end."""
    trains = (getattr(getattr(cell, "run", None), "train", None) for cell in cells)
    minutes = sorted({train.minutes for train in trains if train is not None and train.minutes})
    if not minutes:
        return ""
    trained = [run.part("provenance").get("device") for run in runs.values() if run.part("training")]
    devices = ", ".join(_distinct(str(device) for device in trained if device)) or UNKNOWN
    return f", every run trained for {' or '.join(f'{m:g}' for m in minutes)} minutes on {devices}"


def refresh_section(readme: Path, source: Path, name: str = "table1", check: bool = False) -> bool:
    """Put the text of `source` between `<!-- name begin -->` and `<!-- name end -->` in readme; return if it was there.

    check: only say so, write nothing (for continuous integration).

    Raises:
        ValueError: the two markers are not there exactly once, in this order.
    """
    text = readme.read_text(encoding="utf-8")
    begin, end = f"<!-- {name} begin -->", f"<!-- {name} end -->"
    if text.count(begin) != 1 or text.count(end) != 1 or text.index(begin) > text.index(end):
        raise ValueError(f"{readme}: needs one line {begin!r} and after it one line {end!r}")
    before, rest = text.split(begin)
    after = rest.split(end)[1]
    fresh = f"{before}{begin}\n{source.read_text(encoding='utf-8').strip()}\n{end}{after}"
    if fresh != text and not check:
        write_atomically(readme, fresh)
    return fresh == text


def _distinct(values: Iterable[Any]) -> list[Any]:
    return list(dict.fromkeys(values))


def _protocols(runs: Mapping[str, Stored]) -> list[Mapping[str, Any]]:
    return [run.part("protocol") for run in runs.values() if run.ok]


def _protocol(rows: Mapping[str, Sequence[Declared]], runs: Mapping[str, Stored]) -> str:
    """Each protocol key with its value; where rows differ, the commonest value first, the others with their rows."""
    named = (PROTOCOL | _of_further(runs)).items()
    parts = [_stated(name, rows, runs, partial(_protocol_value, key)) for key, name in named]
    if any(run.ok and run.part("evaluations").get("paper") for run in runs.values()):
        parts.append(_stated("protocol paper:", rows, runs, _disturbance))
    return "; ".join(part for part in parts if part) or UNKNOWN


def _reported(runs: Mapping[str, Stored], dataset: str) -> list[str]:
    """What is published in DINOv2's features, of methods that no row has; only above a table measured in them."""
    spaces = {*feature_spaces([run for run in runs.values() if run.ok]), *further_spaces(runs.values()).values()}
    values = reported_for_all("fd_dinov2", dataset) if "dinov2-vitl14" in spaces else []
    sources = "; ".join(_distinct(figure.source for figure in values))
    return [f"Reported in dinov2-vitl14: {', '.join(f'{f.method} {f.text()}' for f in values)} ({sources})."] * bool(
        values
    )


def _of_further(runs: Mapping[str, Stored]) -> dict[str, str]:
    """The protocol's keys on further feature spaces, and what they are called."""
    stated = {"features": "also in features", "features_identity": "identity of {}", "resizing": "resizing for {}"}
    spaces = further_spaces(runs.values()).items()
    return {f"{key}_{fact}": name.format(shown) for key, shown in spaces for fact, name in stated.items()}


def _stated(
    name: str, rows: Mapping[str, Sequence[Declared]], runs: Mapping[str, Stored], of: Callable[[Stored], Any]
) -> str | None:
    """ "name value", the commonest one first, the others with their rows; None where no row has one."""
    owners: dict[str, list[str]] = {}
    for members in rows.values():
        shown = (of(runs[c.run_name]) for c in members if runs[c.run_name].ok)
        for value in _distinct(_value(v) for v in shown if v is not None):
            owners.setdefault(value, []).append(members[0].title)
    if not owners:
        return None
    first, *others = sorted(owners, key=lambda value: -len(owners[value]))
    return f"{name} {first}" + "".join(f" ({', '.join(owners[v])}: {v})" for v in others)


def _protocol_value(key: str, run: Stored) -> Any:
    value = run.part("protocol").get(key)
    return value if key != "rounds" or value is None else _rounds(run.part("protocol").get("steps") or 0, value)


def _rounds(steps: int, rounds: int) -> str:
    """When chains are measured: 30 steps in 6 rounds are not 180."""
    if rounds == 1:
        return "at the end"
    return f"after every {steps // rounds}" if steps % rounds == 0 else f"in {rounds} rounds of these"


def _disturbance(run: Stored) -> str | None:
    """What the protocol `paper` of a trained run does to its chains before each round."""
    if is_reference(run):
        return None
    protocol = (run.part("evaluations").get("paper") or {}).get("protocol")
    if protocol is None:
        return "none"
    nothing, given = to_dict(NONE), protocol["augmentation"]
    changed = {k: v for k, v in given.items() if v != nothing.get(k)} if isinstance(given, dict) else {}
    said = [f"{k.replace('_', ' ')} {' '.join(map(str, v)) if isinstance(v, list) else v}" for k, v in changed.items()]
    return ", ".join([f"restarts {protocol['restart']}", *said])


def _value(value: Any) -> str:
    if isinstance(value, str) and len(value) == HASH_DIGITS:
        return value[:12]  # enough to tell one from another; the whole is in runs.csv
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
