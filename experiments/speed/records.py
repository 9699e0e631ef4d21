"""speed_memory.json: every measurement with all its rounds, and where it was made; tables are made of it alone."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from clel.config import ConfigError
from clel.storage.atomic import read_json, write_atomically
from clel.storage.log import plain

SCHEMA = 1
NAME = "speed_memory.json"
TABLES = ("options", "machine", "provenance", "load", "measurements")
PARTS = {"key": str, "status": str, "rounds": dict, "extra": dict, "found": dict, "load": dict}


def write_records(folder: Path, records: Mapping[str, Any]) -> Path:
    """Write the records and return their path.

    Raises:
        ValueError: records that `read_records` would refuse.
    """
    content = plain({"schema": SCHEMA, **records})
    if wrong := speed_fault(content):
        raise ValueError(f"not records of schema {SCHEMA}: {wrong}")
    write_atomically(folder / NAME, json.dumps(content, indent=1, allow_nan=False) + "\n")
    return folder / NAME


def read_records(folder: Path) -> dict[str, Any]:
    """The folder's records; raises ConfigError, saying why, where there are none that can be read."""
    path = folder / NAME
    if not path.exists():
        raise ConfigError(f"{path}: not there; make speed-memory with the same variables measures and writes it")
    records: dict[str, Any] = read_json(path, "measure again")
    if wrong := speed_fault(records):
        raise ConfigError(f"{path}: {wrong}; measure again")
    return records


def speed_fault(records: Any) -> str | None:
    """What makes this object no records, in a few words, or None where it is one."""
    if not isinstance(records, Mapping) or records.get("schema") != SCHEMA:
        given = records.get("schema") if isinstance(records, Mapping) else records
        return f"schema {given!r}; this version reads {SCHEMA}"
    for key in TABLES:
        if not isinstance(records.get(key), Mapping):
            return f"{key} is not a table"
    for key, measurement in records["measurements"].items():
        for part, kind in PARTS.items():
            if not isinstance(measurement, Mapping) or not isinstance(measurement.get(part), kind):
                return f"measurement {key!r}: no {part}"
    return None
