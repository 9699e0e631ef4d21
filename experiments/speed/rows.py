"""The rows of the table of speed and memory: every method's presets of a profile, and rungs of a scaled-down ladder.

ladder.csv has the rungs, one a line: a method and a preset with fields of its configuration replaced. A {field} in
a title stands for its value.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from baselines import METHODS
from clel.config import ConfigError, choose, from_dict, to_dict
from clel.runs.config import Methods, Run, resolve
from experiments.sweep.grid import PROFILES, table1_cells

LADDER = Path(__file__).with_name("ladder.csv")
IN_PROPORTION = ("contrastive_batch_size",)
"""Batch sizes of losses that see more images than an iteration counts: they keep their ratio to `batch_size`."""


@dataclass(frozen=True)
class SpeedRow:
    """One row: what is measured, and what it stands for.

    Attributes:
        key: of the row: "method", "method:preset", or a rung's own.
        published: key in experiments/published.csv of what this is, or is a stand-in for; None where no paper has it.
        rung: whether it comes from ladder.csv; it then goes before a preset with the same `published` in a claim.
        remark: what a batch that was asked for changed in it beside the batch; None for nothing.
    """

    key: str
    title: str
    run: Run[Any]
    published: str | None = None
    rung: bool = False
    remark: str | None = None


def speed_rows(
    profile: str, wanted: Sequence[str], device: str, batch: int | None, methods: Methods = METHODS
) -> list[SpeedRow]:
    """The rows of a profile, in the order of Table 1 and then of the ladder.

    Args:
        wanted: only these, as "method" (with its rungs), "method:preset" or a rung's key; all by default.
        batch: images of an iteration, for every method; the presets' own if None.

    Raises:
        ConfigError: an unknown name.
    """
    rungs = ladder(profile, device, methods, batch=batch)
    named = {row.key for row in rungs}
    plain = [name for name in wanted if name not in named]
    cells = table1_cells(profile, 1, plain, device=device, methods=methods) if plain or not wanted else []
    rows = [SpeedRow(c.row, c.title, c.run, c.published) for c in cells if isinstance(c.run, Run)]
    rows = rows if batch is None else [_resized(row, batch) for row in rows]
    return rows + [row for row in rungs if not wanted or row.key in wanted or row.run.method in wanted]


def ladder(
    profile: str, device: str, methods: Methods = METHODS, path: Path = LADDER, batch: int | None = None
) -> list[SpeedRow]:
    """The rungs of a profile, with `batch` images an iteration; the presets' own if None."""
    rows = []
    with path.open(newline="", encoding="utf-8") as file:
        for line in csv.DictReader(file, strict=True):
            if line["profile"] == profile:
                run = resolve(methods, line["method"], line["preset"], device=device)
                run = replace(run, config=with_fields(run.config, json.loads(line["changes"])))
                row = SpeedRow(line["row"], line["title"], run, line["published"] or None, True)
                row = row if batch is None else _resized(row, batch)
                rows.append(replace(row, title=row.title.format_map(to_dict(row.run.config))))
    return rows


def with_fields(config: Any, changes: Mapping[str, Any]) -> Any:
    """The configuration with fields, also those of tables within it, replaced; raises ConfigError for unknown ones."""
    return from_dict(type(config), _merged(to_dict(config), changes))


def with_batch(config: Any, batch: int) -> Any:
    """The configuration with `batch` images an iteration in every stage, and a buffer that holds as many chains.

    Batch sizes that are IN_PROPORTION are `batch` times their ratio to the configuration's own.
    """
    changes = {name: batch for name in to_dict(config) if "batch_size" in name}
    changes |= {n: round(batch * getattr(config, n) / config.batch_size) for n in IN_PROPORTION if n in changes}
    buffer = getattr(config, "buffer", None)
    nested = {"buffer": {"size": batch}} if buffer is not None and buffer.size < batch else {}
    return with_fields(config, changes | nested)


def schedule(row: SpeedRow, methods: Methods = METHODS) -> tuple[Run[Any], str]:
    """(run, preset) at the papers' size that a row stands for: of the same `published`, else its method's `paper`.

    The row's own where its method has neither. The same in every profile, so that hours of its rows can be compared.
    """
    kind = choose(methods, row.run.method, "method")
    for preset in PROFILES["paper"].presets:
        if preset in kind.recipes():
            recipe = kind.recipe(preset)
            if row.published is not None and recipe.published == row.published:
                return resolve(methods, row.run.method, preset), preset
    if "paper" in kind.recipes():
        return resolve(methods, row.run.method, "paper"), "paper"
    return row.run, row.run.preset


def _resized(row: SpeedRow, batch: int) -> SpeedRow:
    config = with_batch(row.run.config, batch)
    scaled = [n for n in IN_PROPORTION if getattr(config, n, batch) != batch]
    remark = "; ".join(f"{n} is {getattr(config, n)}, in proportion to the batch" for n in scaled) or None
    return replace(row, run=replace(row.run, config=config), remark=remark)


def _merged(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    result = dict(old)
    for name, value in new.items():
        if name not in result:
            raise ConfigError(f"unknown key {name!r}; known: {', '.join(sorted(result))}")
        both = isinstance(value, Mapping) and isinstance(result[name], Mapping)
        result[name] = _merged(result[name], value) if both else value
    return result
