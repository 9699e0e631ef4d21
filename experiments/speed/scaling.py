"""How time and memory grow with the batch, the images' side, Langevin steps and width: which points, and the exponents.

scaling.csv has what is varied, one line an axis of a method: only that, all else as in its preset.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from baselines import METHODS
from clel.config import ConfigError, choose, identity
from clel.data import ImageSpec
from clel.runs.config import Methods, Run, resolve
from experiments.speed.job import Job
from experiments.speed.numbers import stage_numbers
from experiments.speed.profiles import LEAST, Effort
from experiments.speed.rows import with_batch, with_fields
from experiments.sweep.estimate import with_steps

SCALING = Path(__file__).with_name("scaling.csv")
AXES = {"batch": "batch", "side": "image side", "steps": "Langevin steps", "width": "width, × the preset's"}
QUANTITIES = {"seconds": "time", "bytes": "memory"}


@dataclass(frozen=True)
class Point:
    """One point of a curve: a method's preset with one thing changed."""

    method: str
    title: str
    axis: str
    value: float
    run: Run[Any]
    spec: ImageSpec

    @property
    def key(self) -> str:
        """Of its measurement; points of two curves that are one configuration share it."""
        return f"scaling/{self.method}/{self.spec.size}/{identity(self.run.config)}"


def points(profile: str, spec: ImageSpec, device: str, methods: Methods = METHODS, path: Path = SCALING) -> list[Point]:
    """The points of a profile, curve by curve."""
    found = []
    with path.open(newline="", encoding="utf-8") as file:
        for line in csv.DictReader(file, strict=True):
            if line["profile"] == profile:
                axis = line["axis"]
                choose(AXES, axis, f"axis in {path}")
                run = resolve(methods, line["method"], line["preset"], device=device)
                title = methods[line["method"]].title
                for text in line["values"].split():
                    value = float(text)
                    config = varied(run.config, axis, value)
                    shape = replace(spec, size=int(value)) if axis == "side" else spec
                    found.append(Point(line["method"], title, axis, value, replace(run, config=config), shape))
    return found


def varied(config: Any, axis: str, value: float) -> Any:
    """The configuration with another batch, number of Langevin steps, or width of its energy network.

    Raises:
        ConfigError: a width where the network has no list of widths.
    """
    if axis == "batch":
        return with_batch(config, int(value))
    if axis == "steps":
        return with_steps(config, int(value))
    if axis == "side":
        return config
    widths = getattr(getattr(config, "network", None), "widths", None)
    if widths is None:
        raise ConfigError("scaling with width needs a configuration with network.widths")
    return with_fields(config, {"network": {"widths": [round(value * width) for width in widths]}})


def scaling_jobs(found: Sequence[Point], effort: Effort, device: str, threads: int | None) -> list[Job]:
    """A job for each configuration among the points, with half the patience: there are many."""
    half = replace(effort, rounds=max(LEAST, effort.rounds // 2), seconds=effort.seconds / 2)
    return [
        Job(point.key, device, replace(half, spec=point.spec), point.run, whole=False, threads=threads)
        for point in {point.key: point for point in found}.values()
    ]


def scaling_rows(found: Sequence[Point], measurements: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """A row for each point that was measured: method, title, axis, value, seconds an iteration, bytes at the peak."""
    rows = []
    for point in found:
        measurement = measurements.get(point.key)
        if measurement is not None and measurement["status"] == "ok":
            numbers = stage_numbers(measurement)
            row = {"method": point.method, "title": point.title, "axis": point.axis, "value": point.value}
            rows.append(row | {"seconds": numbers.iteration.median, "bytes": float(numbers.peak)})
    return rows


@dataclass(frozen=True)
class Exponent:
    """y ~ x^p over n points."""

    p: float
    error: float | None
    n: int


def exponent(x: Sequence[float], y: Sequence[float]) -> Exponent | None:
    """The slope of log y over log x by least squares, with its standard error (None for two points).

    None for fewer than two points, or a y that is not positive.
    """
    if len(set(x)) < 2 or min(y) <= 0:
        return None
    u, v = np.log(x), np.log(y)
    centred = u - u.mean()
    p = float(centred @ v / (centred @ centred))
    rest = v - v.mean() - p * centred
    free = len(u) - 2
    error = float(np.sqrt(rest @ rest / free / (centred @ centred))) if free > 0 else None
    # libraries of linear algebra differ in the last digits
    return Exponent(float(f"{p:.10g}"), None if error is None else float(f"{error:.10g}"), len(u))


def exponents(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """A row for each curve and quantity: method, title, axis, quantity, the range of values, exponent, error, n."""
    found = []
    for method, axis in dict.fromkeys((row["method"], row["axis"]) for row in rows):
        part = [row for row in rows if (row["method"], row["axis"]) == (method, axis)]
        x = [row["value"] for row in part]
        for quantity in QUANTITIES:
            fit = exponent(x, [row[quantity] for row in part])
            if fit is not None:
                row = {"method": method, "title": part[0]["title"], "axis": axis, "quantity": quantity}
                found.append(row | {"from": min(x), "to": max(x), "exponent": fit.p, "error": fit.error, "n": fit.n})
    return found
