"""What Slurm said of jobs that have ended, kept in a sweep's folder for when it is silent or has forgotten them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from clel.storage.atomic import write_atomically
from experiments.slurm.states import ENDED, JobState

FILE = "states.json"


def remember(folder: Path, states: Mapping[str, JobState]) -> None:
    """Keep Slurm's word on jobs that have ended; one that is there again is no longer taken for ended.

    A folder that is not ours to write in keeps nothing.
    """
    known = recall(folder)
    told = {job: state for job, state in states.items() if state.state != "UNKNOWN"}
    kept = {job: state for job, state in (known | told).items() if state.state in ENDED}
    if kept != known:
        with suppress(OSError):
            write_atomically(folder / FILE, json.dumps({job: asdict(state) for job, state in kept.items()}) + "\n")


def recall(folder: Path) -> dict[str, JobState]:
    """What was kept; nothing where there is no such file, or it is damaged."""
    try:
        held = json.loads((folder / FILE).read_text(encoding="utf-8"))
        return {str(job): JobState(**state) for job, state in held.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}
