"""One measurement, in a process of its own: what is handed to that process, in a file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from baselines import METHODS
from clel.config import choose, from_dict, to_dict
from clel.runs.config import Methods, Run
from clel.storage.atomic import write_atomically
from experiments.speed.profiles import LEAST, Effort


@dataclass(frozen=True)
class Job:
    """One measurement.

    Attributes:
        key: its name, unique among those of a command.
        device: a torch device's name.
        effort: how large and how patiently; `effort.spec` is the images' shape.
        run: a method's configuration; None for the ceiling.
        stage: the number of the stage that is measured.
        whole: also count operations and time the sampler; not so for a point of a scaling curve.
        threads: torch's, on the CPU; its own choice if None.
    """

    key: str
    device: str
    effort: Effort
    run: Any = None
    stage: int = 0
    whole: bool = True
    threads: int | None = None

    def rounds(self, seconds: float) -> int:
        """Rounds of something that takes so many seconds."""
        return max(LEAST, min(self.effort.rounds, int(self.effort.seconds / max(seconds, 1e-9))))


def write_job(job: Job, path: Path) -> None:
    """Write the job as JSON."""
    write_atomically(path, json.dumps(to_dict(job)))


def read_job(path: Path, methods: Methods = METHODS) -> Job:
    """The job that a file holds."""
    values = json.loads(path.read_text())
    return from_dict(Job, values | {"run": run_from(values["run"], methods)})


def run_from(values: Mapping[str, Any] | None, methods: Methods = METHODS) -> Run[Any] | None:
    """The run that a dictionary describes."""
    if values is None:
        return None
    kind = choose(methods, values["method"], "method").Config
    return from_dict(Run, {**values, "config": from_dict(kind, values["config"], "config.")})
