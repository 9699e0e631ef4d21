"""The table's values: a row for each method, preset or rung, every number in full precision, from the records alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pandas as pd

from baselines import METHODS
from clel.data import ImageSpec
from clel.runs.config import Methods
from experiments.reading import published
from experiments.reading.published import Figures
from experiments.speed.numbers import ceiling, combined, other_sizes, schedule_hours, stage_numbers
from experiments.speed.rows import SpeedRow, schedule
from experiments.speed.work import stages_of

REPORTED = ("hours", "memory")
NUMBERS = (
    *("rounds", "iterations", "images", "langevin_steps", "iteration_ms", "iteration_ms_q1", "iteration_ms_q3"),
    *("image_ms", "images_per_s", "step_ms", "steps_per_s", "chain_share", "sampling_step_ms", "sampling_ms"),
    *("peak_memory_bytes", "parameters", "gflop", "gflop_per_s", "gflop_step", "step_gflop_per_s", "own_hours"),
    *("share_float32", "share_bfloat16", "step_share_float32", "step_share_bfloat16", "schedule_iterations", "hours"),
    *("hours_q1", "hours_q3"),
    "reported_hours",
    "reported_memory",
    "others",
)
CEILING = "ceiling"
"""Key of the ceiling's measurement."""


def job_key(row: SpeedRow, stage: str) -> str:
    """Key of the measurement of a row's stage."""
    return f"{row.key}/{stage}"


def speed_frame(
    rows: Sequence[SpeedRow],
    measurements: Mapping[str, Mapping[str, Any]],
    spec: ImageSpec,
    methods: Methods = METHODS,
    figures: Figures | None = None,
) -> pd.DataFrame:
    """One row a row of the table, indexed by its key; where a measurement failed, its reason in place of numbers."""
    best = ceiling(measurements.get(CEILING))
    values = pd.DataFrame(
        [_values(row, measurements, spec, best, methods, figures) for row in rows],
        index=pd.Index([row.key for row in rows], name="row"),
    )
    for name in NUMBERS:
        values[name] = pd.to_numeric(values[name]).astype(float) if name in values else float("nan")
    return values


def _values(
    row: SpeedRow,
    measurements: Mapping[str, Mapping[str, Any]],
    spec: ImageSpec,
    best: Mapping[str, tuple[float, str]],
    methods: Methods,
    figures: Figures | None,
) -> dict[str, Any]:
    found = [measurements.get(job_key(row, stage.name)) for _, stage in stages_of(row.run, spec, methods)]
    bad = [m for m in found if m is None or m["status"] != "ok"]
    result: dict[str, Any] = {"title": row.title, "method": row.run.method, "preset": row.run.preset, "rung": row.rung}
    result |= {"published": row.published, "remark": row.remark, "status": "ok", "reason": None}
    later, preset = schedule(row, methods)
    planned = [replace(s, images=s.images or later.config.batch_size) for _, s in stages_of(later, spec, methods)]
    result |= {"schedule": preset, "schedule_iterations": sum(stage.iterations for stage in planned)}
    for name in REPORTED:
        figure = published.reported(row.published, name, figures=figures)
        result[f"reported_{name}"] = figure.value if figure else None
        result[f"reported_{name}_notes"] = figure.notes if figure else None
        result[f"reported_{name}_source"] = figure.source if figure else None
    if bad:
        first = bad[0]
        result |= (
            {"status": "missing", "reason": "not measured"}
            if first is None
            else {
                "status": first["status"],
                "reason": first["reason"],
            }
        )
        return result
    good = [m for m in found if m is not None]
    stages = [stage_numbers(m) for m in good]
    result["rounds"] = min(len(m["rounds"]["iteration"]) for m in good)
    result |= combined(stages)
    if (hours := schedule_hours(stages, planned)) is not None:
        result |= {"hours": hours.median, "hours_q1": hours.low, "hours_q3": hours.high}
    result |= {f"schedule_{what}": change for what, change in other_sizes(stages, planned).items()}
    result["engine"] = " and ".join(dict.fromkeys(str(m["found"]["engine"]) for m in good if "engine" in m["found"]))
    others = [m["load"]["others"] for m in good if m["load"].get("others") is not None]
    result["others"] = max(others) if others else None
    for dtype, (rate, _) in best.items():
        for name, achieved in (("share", result["gflop_per_s"]), ("step_share", result["step_gflop_per_s"])):
            result[f"{name}_{dtype}"] = None if achieved is None else achieved / rate
    return result
