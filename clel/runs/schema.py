"""What a record must hold, and the check of it on writing and on reading.

A record is a JSON object: schema; name (that of its run directory), method, preset, dataset, seed, hash,
status and reason; and the tables config (resolved), metrics (numbers), protocol (how the fresh ones were measured),
evaluations (each with its own protocol), training (its costs; empty for a reference, which trains nothing) and
provenance (commit, versions, device, command).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

SCHEMA = 2
ENDED = ("ok", "diverged", "timeout", "oom", "error")  # what a record may say of its run
WHOLE = {"seed", "iterations", "images", "parameters", "gradient_evaluations", "divergences", "peak_memory_bytes"}
WHOLE |= {f"{count}_{source}" for count in ("classes", "n") for source in ("fresh", "paper", "buffer", "beyond")}
LABELS = {"peak_memory_kind"}  # the only text among metrics and training
TEXTS = {"name": str, "method": str, "preset": str, "dataset": str, "hash": str, "status": str}
TABLES = ("config", "metrics", "protocol", "evaluations", "training", "provenance")


def record_fault(record: Any, name: str) -> str | None:
    """What makes this object no record of the run `name`, in a few words, or None where it is one."""
    if not isinstance(record, Mapping):
        return "not a JSON object"
    if record.get("schema") != SCHEMA:
        return f"schema {record.get('schema')!r}; this version reads {SCHEMA}"
    for key in (*TEXTS, "seed", "reason", *TABLES):
        if key not in record:
            return f"no key {key!r}"
    for key, kind in TEXTS.items():
        if not isinstance(record[key], kind):
            return f"{key} is {record[key]!r}; expected text"
    if record["name"] != name:
        return f"it is the record of {record['name']!r}"
    if record["status"] not in ENDED:
        return f"status {record['status']!r}; known: {', '.join(ENDED)}"
    if not isinstance(record["seed"], int) or not isinstance(record["reason"], str | None):
        return "seed must be a whole number, reason a text or null"
    for key in TABLES:
        # a reference trains nothing
        if not isinstance(record[key], Mapping) and (key, record[key]) != ("training", None):
            return f"{key} is not a table"
    for key, value in {**(record["metrics"] or {}), **(record["training"] or {})}.items():
        if key not in LABELS and (wrong := _number_fault(value, whole=key in WHOLE)):
            return f"{key} is {value!r}; {wrong}"
    return None


def _number_fault(value: Any, whole: bool) -> str | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < 2**63:
        return "expected a finite number or null"
    return "expected a whole number or null" if whole and value != int(value) else None
