"""Carry out jobs, each in a fresh process, one after the other and never side by side, and read what they found."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from clel.config import ConfigError, to_dict
from clel.machine.signals import child_environment
from clel.storage.atomic import read_json, temporary_folder, write_atomically
from clel.storage.log import plain, progress
from experiments.speed.job import Job, write_job
from experiments.speed.machine import LoadWatch

LINES = 5
"""Lines of the output of a process that came to nothing, for its reason."""
OUT_OF_MEMORY = ("OutOfMemoryError", "MemoryError", "can't allocate", "not enough memory")


def measured_jobs(
    jobs: Sequence[Job],
    name: str,
    run: Callable[[Job, Path], int] | None = None,
    kept: Path | None = None,
    origin: str = "",
) -> dict[str, dict[str, Any]]:
    """A measurement of each job by its key.

    Each has key, status ("ok", "oom", "error"), reason, rounds (seconds, a list a benchmark), found (sizes, memory,
    operations), extra (what a benchmark says of itself), fallbacks (what of the engine did not work), load, machine and
    provenance.

    Args:
        run: carries out a job in a folder and returns the exit status; starts a process by default.
        kept: a file for what is measured so far, which an interrupted command goes on from; the caller removes it.
        origin: commit and machine; what was measured under another is measured again.
    """
    result, before = {}, _read_kept(kept, origin)
    with progress(name, len(jobs), unit="job") as shown:
        for number, job in enumerate(jobs):
            shown.set_postfix_str(job.key, refresh=False)
            shown.update(number - shown.n)
            as_asked = json.loads(json.dumps(to_dict(job)))
            found = before.get(job.key)
            if found is not None and found["job"] == as_asked and found["measurement"]["status"] == "ok":
                result[job.key] = found["measurement"]
                continue
            with temporary_folder() as folder:
                result[job.key] = _measured(job, folder, run or _process)
            before[job.key] = {"job": as_asked, "measurement": result[job.key]}
            if kept is not None:
                write_atomically(kept, json.dumps(plain({"origin": origin, "jobs": before})))
        shown.update(len(jobs) - shown.n)
    return result


def _read_kept(kept: Path | None, origin: str) -> dict[str, dict[str, Any]]:
    if kept is None or not kept.exists():
        return {}
    found = read_json(kept, "what was measured of an interrupted command is lost: remove it", ("jobs", "origin"))
    return dict(found["jobs"]) if found["origin"] == origin else {}


def _measured(job: Job, folder: Path, run: Callable[[Job, Path], int]) -> dict[str, Any]:
    watch = LoadWatch()
    status = run(job, folder)
    load = watch.read()
    found: dict[str, Any] = {"found": {}, "failures": [], "machine": {}, "provenance": {}}
    rounds: dict[str, Any] = {"benchmarks": []}
    if (folder / "found.json").exists():
        found = json.loads((folder / "found.json").read_text())
        path = folder / "rounds.json"
        rounds = json.loads(path.read_text()) if path.exists() and path.stat().st_size else rounds
    else:
        ended = f"ended by signal {-status}" if status < 0 else f"exit status {status}"
        found["failures"] = [f"no result ({ended}): {last_lines(folder)}"]
    reason = found["failures"][0] if found["failures"] else None
    return {
        "key": job.key,
        "status": "ok" if reason is None else "oom" if any(text in reason for text in OUT_OF_MEMORY) else "error",
        "reason": reason,
        "rounds": {_name(b): b["stats"]["data"] for b in rounds["benchmarks"]},
        "extra": {_name(b): b["extra_info"] for b in rounds["benchmarks"] if b["extra_info"]},
        "found": found["found"],
        "fallbacks": found.get("fallbacks", []),
        "load": load,
        "machine": found["machine"],
        "provenance": found["provenance"],
    }


def _process(job: Job, folder: Path) -> int:
    write_job(job, folder / "job.json")
    with open(folder / "output.log", "wb") as output:
        done = subprocess.run(
            [sys.executable, "-m", "experiments.speed.child", str(folder / "job.json"), str(folder)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=child_environment(),
            check=False,
        )
    text = (folder / "output.log").read_text(errors="replace")
    if "pytest" in text and "ModuleNotFoundError" in text:
        raise ConfigError("timing needs the packages pytest and pytest-benchmark: pip install 'clel-benchmark[dev]'")
    return done.returncode


def _name(benchmark: dict[str, Any]) -> str:
    """test_short -> short; test_product[matrix-512-float32] -> matrix-512-float32."""
    name = str(benchmark["name"])
    return name.split("[", 1)[1].rstrip("]") if "[" in name else name.removeprefix("test_")


def last_lines(folder: Path) -> str:
    """The end of what a process wrote to output.log, on one line."""
    path = folder / "output.log"
    lines = path.read_text(errors="replace").split("\n") if path.exists() else []
    return " | ".join([line for line in lines if line.strip()][-LINES:])
