"""attempts.jsonl of a run's folder: when a job started on it, on which node, and how that ended. A line each.

Read on any machine, written by the task alone; a start without an end is one that was killed. Only the standard
library: a task's own process stays small.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from experiments.reading.json_lines import json_lines

FILE = "attempts.jsonl"
FINISHED, FAILED, STOPPED, REQUEUED, GAVE_UP = "finished", "failed", "stopped", "requeued", "gave up"
"""How an attempt ends; a stopped one saved its state, or left what it had saved, and was not requeued."""


@dataclass(frozen=True)
class Attempt:
    """One start of a job on a run. `how` is None while it lasts, or where it was killed; `why` is for a person."""

    job: str
    node: str
    started: str
    how: str | None = None
    why: str = ""
    ended: str | None = None


def note(folder: Path, **line: Any) -> None:
    """Append a line with the time. A full disk does not stop a run from being saved: it is said, and passed over."""
    text = json.dumps({"time": datetime.now(timezone.utc).isoformat(timespec="seconds"), **line}) + "\n"
    try:
        path = folder / FILE
        torn = path.exists() and path.read_bytes()[-1:] not in (b"", b"\n")
        with open(path, "a", encoding="utf-8") as file:
            file.write(("\n" if torn else "") + text)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        print(f"{folder / FILE}: not written: {error}", file=sys.stderr, flush=True)


def started(folder: Path, job: str, node: str) -> None:
    """Note that a job begins with the run."""
    note(folder, event="start", job=job, node=node)


def ended(folder: Path, job: str, how: str, why: str = "") -> None:
    """Note how it ended; the last word counts."""
    note(folder, event="end", job=job, how=how, why=why)


def all_of(folder: Path) -> list[Attempt]:
    """All attempts, oldest first; lines that are torn are left out."""
    found: list[Attempt] = []
    for line in _lines(folder / FILE):
        job = str(line.get("job", ""))
        if line.get("event") == "start":
            found.append(Attempt(job, str(line.get("node", "")), str(line.get("time", ""))))
        elif line.get("event") == "end" and found and found[-1].job == job:
            last = found[-1]
            how, why = str(line.get("how", "")), str(line.get("why", ""))
            found[-1] = Attempt(job, last.node, last.started, how, why, str(line.get("time", "")))
    return found


def _lines(path: Path) -> list[dict[str, Any]]:
    try:
        texts = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
    return json_lines(texts)
