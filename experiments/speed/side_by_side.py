"""How much several runs get done together on one device: processes that train side by side, begun and ended as one."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from clel.machine.costs import now
from clel.machine.signals import child_environment, leave_with_launcher
from clel.storage.atomic import temporary_folder, write_atomically
from clel.storage.log import progress
from experiments.printing.markup import DASH, Footnotes, Grid, Header, Text
from experiments.speed.job import Job, read_job, write_job
from experiments.speed.launch import last_lines
from experiments.speed.process import as_in_training
from experiments.speed.rows import SpeedRow
from experiments.speed.work import Work
from experiments.sweep.local import available_cores

NUMBERS = (1, 2, 4, 8)
"""Runs side by side."""
WARM_UP = 5
"""Iterations of each that are not counted."""
READY, GO, DONE = "ready-{}", "go", "done-{}.json"


@dataclass(frozen=True)
class Throughput:
    """What n runs did together: iterations a second of all, or why nothing is known (`reason`)."""

    row: str
    runs: int
    rate: float | None
    reason: str = ""


def throughputs(jobs: Sequence[Job], device: torch.device) -> list[Throughput]:
    """Of each job's run, alone and beside copies of itself, on one device: on a CPU no more than it has cores."""
    most = available_cores() if device.type == "cpu" else max(NUMBERS)
    numbers = [n for n in NUMBERS if n <= most]
    found: list[Throughput] = []
    with progress("side by side", len(jobs) * len(numbers)) as shown:
        for job in jobs:
            for n in numbers:
                shown.set_postfix_str(f"{n} of {job.key}")
                found.append(throughput(replace(job, threads=1 if device.type == "cpu" else job.threads), n))
                shown.update()
    return found


def throughput(job: Job, n: int) -> Throughput:
    """n processes that iterate for `effort.seconds` from a common start; sum_i iterations_i / seconds_i."""
    with temporary_folder() as folder:
        write_job(job, folder / "job.json")
        with open(folder / "output.log", "wb") as output:
            order = [sys.executable, "-m", "experiments.speed.side_by_side", str(folder)]
            processes = [
                subprocess.Popen(
                    [*order, str(k)], stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=child_environment()
                )
                for k in range(n)
            ]
            try:
                while not all((folder / READY.format(k)).exists() for k in range(n)):
                    if any(process.poll() is not None for process in processes):
                        return Throughput(job.key, n, None, last_lines(folder))
                    time.sleep(0.05)
                (folder / GO).touch()
                statuses = [process.wait() for process in processes]
            finally:
                for process in processes:
                    process.kill()
                    process.wait()
        if any(statuses):
            return Throughput(job.key, n, None, last_lines(folder))
        each = [json.loads((folder / DONE.format(k)).read_text()) for k in range(n)]
        return Throughput(job.key, n, sum(one["iterations"] / one["seconds"] for one in each))


def child(folder: Path, number: int) -> None:
    """One of the processes: warm up, wait for the others, iterate, and say how often in how many seconds."""
    job = read_job(folder / "job.json")
    as_in_training(getattr(job.run.config, "engine", None))
    leave_with_launcher()
    if job.threads is not None:
        torch.set_num_threads(job.threads)
    work = Work(job.run, job.effort.spec, job.stage, torch.device(job.device))
    for _ in range(WARM_UP):
        work.iteration()
    (folder / READY.format(number)).touch()
    while not (folder / GO).exists():
        time.sleep(0.005)
    began, iterations = now(work.device), 0
    while (seconds := now(work.device) - began) < job.effort.seconds or iterations == 0:
        work.iteration()
        iterations += 1
    write_atomically(folder / DONE.format(number), json.dumps({"iterations": iterations, "seconds": seconds}))


def gains(found: Sequence[Mapping[str, Any]]) -> dict[str, dict[int, float]]:
    """By row and number of runs: their iterations a second together as times those of one run alone."""
    alone = {line["row"]: line["rate"] for line in found if line["runs"] == 1 and line["rate"]}
    result: dict[str, dict[int, float]] = {}
    for line in found:
        if line["rate"] and line["row"] in alone:
            result.setdefault(line["row"], {})[line["runs"]] = line["rate"] / alone[line["row"]]
    return result


def side_by_side_grid(rows: Sequence[SpeedRow], found: Sequence[Mapping[str, Any]]) -> Grid:
    """The table: a line a row and number of runs."""
    titles, gained, notes = {row.key: row.title for row in rows}, gains(found), Footnotes()
    together = notes.mark(
        "Iterations of all runs together a second, each in a process of its own, begun at one time and after "
        f"{WARM_UP} iterations that are not counted; on a CPU each on one thread."
    )
    headers = [Header((text,)) for text in ("", "runs")]
    headers += [
        Header(("iterations", "a second"), (together,)),
        Header(("times", "one run")),
        Header(("each run", "takes, times")),
    ]
    lines = []
    for line in found:
        gain = gained.get(line["row"], {}).get(line["runs"])
        marks = (notes.mark(f"{line['runs']} runs: {line['reason']}."),) if line["reason"] else ()
        shown = [titles.get(line["row"], line["row"]), str(line["runs"])]
        shown += [f"{line['rate']:.4g}" if line["rate"] else DASH]
        shown += [f"{gain:.2f}", f"{line['runs'] / gain:.2f}"] if gain else [DASH, DASH]
        lines.append([Text(shown[0], marks), *map(Text, shown[1:])])
    return Grid(headers, lines, notes.texts)


if __name__ == "__main__":
    child(Path(sys.argv[1]), int(sys.argv[2]))
