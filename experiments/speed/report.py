"""Everything that is made of the records: speed_summary.md, speed_memory.md, .tex, .csv, scaling.csv, the figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from clel.data import ImageSpec
from clel.runs.config import Run
from clel.storage.atomic import naming_damage
from clel.storage.provenance import short_commit
from experiments.printing.drawing import drawn
from experiments.printing.files import write_files
from experiments.printing.markup import escape_markdown, latex_comment, titled, to_latex, to_markdown
from experiments.speed import figures
from experiments.speed.claims import PAPERS, load_claims, sentences, sizes
from experiments.speed.frame import CEILING, speed_frame
from experiments.speed.machine import busy
from experiments.speed.numbers import ceiling
from experiments.speed.profiles import EFFORTS
from experiments.speed.records import NAME, read_records
from experiments.speed.rows import SpeedRow, speed_rows
from experiments.speed.scaling import Point, exponents, scaling_rows
from experiments.speed.side_by_side import side_by_side_grid
from experiments.speed.summary import summary
from experiments.speed.table import most_common_engine, scaling_grid, speed_grid

FIGURES = "figures/speed_{}.png"
MATCHED = "small-plain-clel"
"""Folder of make speed-memory PROFILE=small METHODS=plain,clel: its sentences come first in tables of other images."""
SOMETIMES = ("speed_scaling.csv", "speed_exponents.csv", FIGURES.format("scaling"), FIGURES.format("distance"))
"""Files that only a table with curves, or with distances, has."""


def write_speed_report(
    folder: Path,
    rows: Sequence[SpeedRow],
    points: Sequence[Point],
    spec: ImageSpec,
    records: Mapping[str, Any],
    command: str,
    runs_csv: Path,
) -> list[Path]:
    """Write the report of a profile into its folder; returns the paths.

    Args:
        runs_csv: Table 1's runs of the same profile and engine, for the distances; it may be missing.
    """
    measurements = records["measurements"]
    values = speed_frame(rows, measurements, spec)
    best = ceiling(measurements.get(CEILING))
    curve = scaling_rows(points, measurements)
    fits = exponents(curve)
    lines = about(records, spec, command, engines_in_words(values))
    asked = records["options"]
    measured = sizes(asked["profile"] == "paper", asked["batch"], _place(records, spec))
    alike = _size(spec) == PAPERS
    claims = [] if alike else matched_sentences(folder.parent / MATCHED)
    claims += sentences(values, load_claims(), measured, matched=alike)
    grid, growth = speed_grid(values, best), scaling_grid(fits)
    distances, name = distances_of_runs(
        runs_csv, {row.key: row.run for row in rows if values.loc[row.key, "status"] == "ok"}
    )
    if not distances:
        lines.append(
            f"Distances: none, since no measured row has a trained run in {_short(runs_csv)}; so no figure has them."
        )
    parts = [
        *(titled(line) for line in lines),
        to_markdown(grid).rstrip("\n"),
        "**What the papers claim, measured here:**",
    ]
    parts.append("\n".join(f"- {escape_markdown(text)}" for text in claims or ["No claim has both its rows here."]))
    if fits:
        parts += ["**Growth with size:**", to_markdown(growth)]
    if beside := records.get("side_by_side"):
        shared = side_by_side_grid(rows, beside)
        parts += ["**Runs side by side on one device:**", to_markdown(shared).rstrip("\n")]
    contents: dict[str, str | bytes] = {
        "speed_summary.md": f"{titled(lines[0])}\n\n{to_markdown(summary(values))}",
        "speed_memory.md": "\n\n".join(parts).rstrip("\n") + "\n",
        "speed_memory.tex": latex_comment([*lines, *claims]) + to_latex(grid) + (to_latex(growth) if fits else ""),
        "speed_memory.csv": values.to_csv(lineterminator="\n"),
        **drawn("figures/speed_iteration", figures.iteration_bars(values)),
        **drawn("figures/speed_memory", figures.memory_bars(values)),
    }
    if distances:
        figure = figures.distance_against_cost(values, distances, name, _short(runs_csv))
        contents |= drawn("figures/speed_distance", figure)
    if curve:
        contents["speed_scaling.csv"] = pd.DataFrame(curve).to_csv(index=False, lineterminator="\n")
        contents["speed_exponents.csv"] = pd.DataFrame(fits).to_csv(index=False, lineterminator="\n")
        contents |= drawn("figures/speed_scaling", figures.growth(curve, fits))
    for name in SOMETIMES:
        if name not in contents:  # of an earlier table
            (folder / name).unlink(missing_ok=True)
    return write_files(folder, contents)


def matched_sentences(folder: Path) -> list[str]:
    """The claims by the small networks' table in that folder, whose images have the paper's size; none without it."""
    if not (folder / NAME).exists():
        return []
    records, spec = read_records(folder), EFFORTS["small"].spec
    asked = records["options"]
    rows = speed_rows(asked["profile"], ["plain", "clel"], asked["device"], asked["batch"])
    measured = sizes(False, asked["batch"], _place(records, spec))
    found = sentences(speed_frame(rows, records["measurements"], spec), load_claims(), measured)
    return [f"{text} (From {folder.name}.)" for text in found]


def engines_in_words(values: pd.DataFrame) -> str:
    """The engine that most rows have, and which rows have others: "fast (bfloat16) (VAE / DRL: float32)"."""
    most = most_common_engine(values)
    if most is None:
        return "not recorded"
    named = values[values["engine"].fillna("") != ""]
    others: dict[str, list[str]] = {}
    for _, row in named[named["engine"] != most].iterrows():
        others.setdefault(str(row["engine"]), []).append(str(row["title"]))
    return most + "".join(f" ({' / '.join(titles)}: {engine})" for engine, titles in others.items())


def about(records: Mapping[str, Any], spec: ImageSpec, command: str, engine: str) -> list[str]:
    """The lines above the table, "Name: text"; warnings at the end where other programs were at work, or a part of
    the engine was not."""
    machine, origin, load = records["machine"], records["provenance"], records["load"]
    commit = short_commit(origin)
    dirty = " with uncommitted changes" if origin.get("git_dirty") else ""
    gpu = f"{machine['gpu']}, " if "gpu" in machine else ""
    bfloat16 = f", bfloat16 {machine['bfloat16']}" if "bfloat16" in machine and not gpu else ""
    batch = records["options"]["batch"]
    batches = "each method's own" if batch is None else f"{batch} for every method"
    others = [m["load"]["others"] for m in records["measurements"].values() if m["load"].get("others") is not None]
    lines = [
        f"Speed and memory: one training iteration and one sampling step, profile {records['options']['profile']}, "
        f"random images {_size(spec)}; batch {batches}; engine {engine}. One method "
        "at a time, each in a fresh process.",
        f"Command: {command}",
        f"Commit: {commit}{dirty}. Machine: {gpu}{machine['cpu']}, {machine['cores']} cores, "
        f"threads {machine['threads']}{bfloat16}, torch {machine['torch']}, python {machine['python']}.",
        f"Load: average {_load(load['load_before'])} before and {_load(load['load_after'])} after (of one minute, this "
        f"program's own included); cores kept busy by other programs: at most "
        f"{_load(max(others) if others else None)}.",
    ]
    settings: dict[str, int] = {}
    for m in records["measurements"].values():
        if said := m["provenance"].get("allocator"):
            settings[said] = settings.get(said, 0) + 1
    if settings:
        listed = "; ".join(f"{said} in {n}" for said, n in sorted(settings.items()))
        lines.append(
            f"Settings: allocator, by each engine's own, {listed} of {len(records['measurements'])} measurements; how "
            f"threads wait, {origin.get('waiting') or 'not recorded'}."
        )
    disturbed = [key for key, m in records["measurements"].items() if busy(m["load"], machine)]
    if disturbed:
        lines.append(
            f"Warning: other programs were at work during {len(disturbed)} of "
            f"{len(records['measurements'])} measurements, so that times are too long and "
            "shares too low; measure again on a quiet machine."
        )
    fallbacks = {text: key for key, m in reversed(records["measurements"].items()) for text in m.get("fallbacks", [])}
    lines += [f"Warning: {text}, in {key} and perhaps others." for text, key in reversed(fallbacks.items())]
    return lines


def distances_of_runs(runs_csv: Path, rows: Mapping[str, Run[Any]]) -> tuple[dict[str, list[float]], str]:
    """Distances of fresh chains of the file's runs that are a row's own, by row key, and the distance's name.

    A row's runs are those of its whole configuration, engine and batch included, whatever their seed: the name of a
    run holds a hash of it (`Run.name`). Rows of which none ended well are left out.
    """
    if not runs_csv.exists():
        return {}, "Fréchet distance, fresh chains"
    with naming_damage(runs_csv, "make report writes it anew"):
        runs = pd.read_csv(runs_csv)
        good = runs[(runs["status"] == "ok") & runs["fid_fresh"].notna()]
    distances = {str(name): float(value) for name, value in zip(good["name"], good["fid_fresh"], strict=True)}
    seeds = sorted({int(seed) for seed in good["seed"]})
    found: dict[str, list[float]] = {}
    for key, run in rows.items():
        names = [replace(run, seed=seed).name for seed in seeds]
        if own := [distances[name] for name in names if name in distances]:
            found[key] = own
    spaces = sorted(set(good["protocol_features"].dropna())) if "protocol_features" in good else []
    return found, f"Fréchet distance, fresh chains\n({' / '.join(spaces) or 'unnamed'} features)"


def _place(records: Mapping[str, Any], spec: ImageSpec) -> str:
    machine = records["machine"]
    threads = f"{machine['threads']} thread{'' if machine['threads'] == 1 else 's'}"
    device = machine.get("gpu") or f"{threads} of {machine['cpu']}"
    return f"{device}, images {_size(spec)}"


def _size(spec: ImageSpec) -> str:
    return f"{spec.channels}x{spec.size}x{spec.size}"


def _short(path: Path) -> str:
    """As it is below the working directory; otherwise its end, since the rest is of this machine."""
    return str(Path(*path.parts[-3:])) if path.is_absolute() else str(path)


def _load(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.2f}"
