"""record.json: how a run ended, what it measured, what it cost, where it comes from; written last, without NaN.

docs/reference/records.md describes every field.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from clel.config import ConfigError, from_dict, identity, to_dict
from clel.methods.settings import EvaluateConfig
from clel.metrics.inception_score import SPLITS
from clel.runs.schema import SCHEMA, record_fault
from clel.storage.atomic import read_json, write_atomically
from clel.storage.log import plain
from clel.storage.provenance import utc_now

FINAL = ("ok", "diverged")
"""Statuses of a record that stand; a run that ended otherwise is taken up again."""


def blank_record(name: str, config: Any, **fields: Any) -> dict[str, Any]:
    """The record of a run before anything happened: `config` is its configuration, `fields` method, preset, ..."""
    return {
        "schema": SCHEMA,
        "name": name,
        **fields,
        "hash": identity(config),
        "config": to_dict(config),
        "status": "error",
        "reason": None,
        "metrics": {},
        "protocol": {},
        "evaluations": {},
        "training": {},
        "provenance": {},
    }


def finished(record: dict[str, Any]) -> dict[str, Any]:
    """The record with the time of its end."""
    return record | {"provenance": {**record["provenance"], "finished": utc_now()}}


def write_record(folder: Path, record: dict[str, Any]) -> Path:
    """Write folder/record.json, the last act of a run, and return its path. Non-finite numbers become null.

    Raises:
        ValueError: a record that tables would refuse, saying which key is wrong.
    """
    record = plain(record)
    if wrong := record_fault(record, folder.name):
        raise ValueError(f"not a record of schema {SCHEMA}: {wrong}")
    write_atomically(folder / "record.json", json.dumps(record, indent=1, allow_nan=False) + "\n")
    return folder / "record.json"


def read_record(folder: Path) -> dict[str, Any] | None:
    """The folder's record, or None where there is none that can be read."""
    try:
        record = json.loads((folder / "record.json").read_text())
    except (OSError, ValueError, RecursionError):
        return None
    return None if record_fault(record, folder.name) else record


def write_training(folder: Path, ended: dict[str, Any]) -> None:
    """Write folder/training.json: status, reason, costs and provenance of a training that came to its end."""
    write_atomically(folder / "training.json", json.dumps(plain(ended), indent=1, allow_nan=False) + "\n")


def read_training(folder: Path) -> dict[str, Any] | None:
    """The folder's training.json; None where there is none: training has not come to its end.

    Raises:
        ConfigError: it is damaged.
    """
    path = folder / "training.json"
    if not path.exists():
        return None
    remedy = "no weights are lost, but how training ended is; remove it, and the same command goes on from the last "
    return read_json(path, remedy + "checkpoint", ("status", "reason", "training", "provenance"))  # type: ignore[no-any-return]


def stands(record: Mapping[str, Any] | None, evaluate: EvaluateConfig) -> bool:
    """Whether a record is of a run that ended and was measured as `evaluate` asks."""
    if record is None or record["status"] not in FINAL:
        return False
    try:
        measured = from_dict(EvaluateConfig, record["config"]["evaluate"])
    except (ConfigError, KeyError, TypeError):
        return False
    sorted_splits = "inception_score_fresh" in record["metrics"] and SPLITS not in record["protocol"]
    return identity(measured) == identity(evaluate) and not sorted_splits
