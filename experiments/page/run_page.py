"""A run's own page: what it was, how it went, what it cost, where it came from."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from baselines import METHODS
from clel.config import ConfigError, differences
from clel.runs.config import as_run, resolve
from clel.storage.log import read_log
from experiments.page.curves import COSTS
from experiments.page.pictures import on_their_way, over_training
from experiments.sweep.store import Declared, Stored
from experiments.table1.curves import distance_curve, steps_curve

POINTS = 300
"""Of a curve of the log."""
NOT_DRAWN = ("kind", "iteration", "images", "seconds", "gradient_evaluations")


@dataclass(frozen=True)
class RunPage:
    """What the page of a run shows.

    curves: {name: {x, y}} of its log. pictures: (iteration, data URI) of grids. chains: the data URI of a picture of
    chains after each of `steps`; "" without one.
    """

    name: str
    title: str
    status: str
    reason: str
    changed: Sequence[str]
    settings: str
    curves: Mapping[str, Mapping[str, Sequence[float]]]
    events: Sequence[Mapping[str, Any]]
    costs: Mapping[str, Any]
    metrics: Mapping[str, Any]
    origin: Mapping[str, Any]
    pictures: Sequence[tuple[str, str]] = field(default_factory=tuple)
    chains: str = ""
    steps: Sequence[int] = ()


def run_page(cell: Declared, run: Stored) -> RunPage:
    """The page of a run with a record."""
    log, record = read_log(run.folder), run.record
    return RunPage(
        run.name,
        f"{cell.title}, seed {cell.seed}",
        run.status,
        run.reason or "",
        changes_from_preset(record),
        json.dumps(record.get("config"), indent=1),
        curves(log),
        [line for line in log if line["kind"] not in ("train", "evaluation")],
        run.part("training"),
        {k: v for k, v in run.part("metrics").items() if v is not None},
        run.part("provenance"),
        over_training(run),
        on_their_way(run),
        steps_of(run),
    )


def look_at(run: Stored) -> None:
    """Read all that pages show of a run; raises whatever is wrong with it."""
    log = read_log(run.folder)
    curves(log)
    for cost in COSTS:
        distance_curve(log, cost)
    for source in run.part("evaluations"):
        steps_curve(run.part("evaluations"), source)
    steps_of(run)
    over_training(run)
    on_their_way(run)
    distance = run.part("metrics").get("fid_fresh")
    f"{float(distance):.2f}" if distance is not None else ""


def steps_of(run: Stored) -> list[int]:
    """Steps after which the chains of its samples were looked at."""
    return [int(part["steps"]) for part in (run.part("evaluations").get("fresh") or {}).get("rounds") or []]


def changes_from_preset(record: Mapping[str, Any]) -> list[str]:
    """Lines `key: preset's -> the run's` of each setting in which a run differs from its preset."""
    with suppress(ConfigError, KeyError, TypeError):
        run = as_run(record["config"], METHODS)
        preset = resolve(METHODS, run.method, run.preset, dataset=run.dataset, seed=run.seed)
        return differences(preset, run)
    return []


def curves(log: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, list[float]]]:
    """Every number of the log against the iteration, those on training thinned out to POINTS."""
    found: dict[str, dict[str, list[float]]] = {}
    for kind in ("train", "evaluation"):
        lines = [line for line in log if line["kind"] == kind]
        for line in lines[:: max(1, len(lines) // POINTS)]:
            for name, value in line.items():
                if name not in NOT_DRAWN and isinstance(value, int | float) and not isinstance(value, bool):
                    curve = found.setdefault(name, {"x": [], "y": []})
                    curve["x"].append(line["iteration"])
                    curve["y"].append(float(f"{value:.5g}"))
    return {name: curve for name, curve in found.items() if len(curve["x"]) > 1}
