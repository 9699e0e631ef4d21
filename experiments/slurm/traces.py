"""What a run's folder shows without reading it whole; only the standard library, since tasks look too."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from experiments.reading.json_lines import json_lines

FINAL = ("ok", "diverged")
"""Statuses of a record that stand (clel.runs.record.FINAL)."""


def recorded(folder: Path) -> tuple[str | None, str]:
    """Status and reason in the run's record; None where there is none."""
    try:
        record = json.loads((folder / "record.json").read_text())
        return str(record["status"]), str(record["reason"] or "")
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None, ""


def last_logged(folder: Path) -> list[dict[str, Any]]:
    """The last lines of a run's log.jsonl, as objects."""
    return json_lines(tail(folder / "log.jsonl", 200, 100_000).splitlines())


def tail(path: Path, lines: int = 15, most: int = 20_000) -> str:
    """The last lines of a file, a progress line that was rewritten in place as its last state; "" for no file."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, file.seek(0, 2) - most))
            text = file.read().decode(errors="replace")
    except OSError:
        return ""
    shown = (line.rsplit("\r", 1)[-1].replace("\x1b[K", "").rstrip() for line in text.split("\n"))
    return "\n".join([line for line in shown if line][-lines:])
