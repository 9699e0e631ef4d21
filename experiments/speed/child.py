"""The process of one measurement: python -m experiments.speed.child JOB OUT; experiments/speed/launch.py starts it."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import torch

from clel.config import to_dict
from clel.machine.signals import leave_with_launcher
from clel.storage.atomic import write_atomically
from clel.storage.log import plain
from clel.storage.provenance import provenance
from experiments.speed import measure
from experiments.speed.job import read_job
from experiments.speed.machine import machine
from experiments.speed.memory import limit_memory, warm_up
from experiments.speed.process import as_in_training


def main(job_path: Path, out: Path) -> int:
    """Write OUT/rounds.json, which is pytest-benchmark's, and OUT/found.json, with what went wrong if something did."""
    job = read_job(job_path)
    as_in_training(None if job.run is None else getattr(job.run.config, "engine", None))
    leave_with_launcher()
    device = torch.device(job.device)
    if job.threads is not None:
        torch.set_num_threads(job.threads)
    warm_up(device)
    limit_memory(device)
    session = measure.Session(job)
    arguments = ["-q", "-p", "no:cacheprovider", "--benchmark-enable", f"--benchmark-json={out / 'rounds.json'}"]
    # the settings of the checkout's own tests are not for here
    arguments += ["-c", "/dev/null", "--rootdir", str(out), "-o", "python_files=measure.py", measure.__file__]
    pytest.main(arguments, plugins=[session])
    found = {
        "found": session.found,
        "failures": session.failures,
        "fallbacks": session.fallbacks,
        "machine": machine(device),
        "provenance": provenance(device),
        "effort": to_dict(job.effort),
    }
    write_atomically(out / "found.json", json.dumps(plain(found)))
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2])))
