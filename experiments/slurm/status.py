"""Where each run of a sweep stands: the store's records and the runs' own signs of life, joined with Slurm's states."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from clel.storage.log import counted, duration
from experiments.slurm import attempts
from experiments.slurm.clients import SchedulerError
from experiments.slurm.evidence import Evidence, RunState, gather, judge, last_word
from experiments.slurm.memory import recall, remember
from experiments.slurm.scheduler import job_states
from experiments.slurm.states import JobState
from experiments.slurm.sweep import LatestJob, Sweep
from experiments.slurm.traces import last_logged, tail


@dataclass(frozen=True)
class Standing:
    """A line of `make status`. progress: "450/900". left: of training, at its pace. last: line of its log, or why."""

    run: str
    job: str
    verdict: RunState
    progress: str
    left: str
    node: str
    requeues: str
    last: str


@dataclass(frozen=True)
class SweepStatus:
    """All lines, and what could not be known."""

    standings: Sequence[Standing]
    trouble: str

    def __str__(self) -> str:
        rows = [("run", "state", "job", "progress", "left", "node", "requeued", "")]
        for s in self.standings:
            why = s.verdict.why or s.last
            rows.append((s.run, s.verdict.state, s.job, s.progress, s.left, s.node, s.requeues, why))
        widths = [max(len(row[column]) for row in rows) for column in range(7)]
        lines = []
        for row in rows:
            cells = [f"{cell:<{width}}" for cell, width in zip(row, widths, strict=False)]
            lines.append("  ".join([*cells, row[7][:120]]).rstrip())
        counts = Counter(s.verdict.state for s in self.standings)
        total = ", ".join(f"{number} {state}" for state, number in counts.most_common())
        return "\n".join(
            [*lines, f"{counted(len(self.standings), 'run')}: {total}", *([self.trouble] if self.trouble else [])]
        )


def sweep_status(sweep: Sweep, latest: Mapping[str, LatestJob], finished: Callable[[str], bool]) -> SweepStatus:
    """Ask Slurm once, and look into every run's folder, in this order: a run may finish while Slurm is slow to answer.

    latest: the last job of each run, over all sweeps. finished: whether a run has the result that its table asks for.
    """
    ids = [latest[run].id for run in sweep.runs if run in latest and not finished(run)]
    states: dict[str, JobState] = {}
    trouble = ""
    try:
        states = job_states(ids) if ids else {}
        remember(sweep.folder, states)
    except SchedulerError as error:
        says = "The states above are from the runs' own files and what Slurm said before; unknown: these do not tell."
        trouble = f"{error}\n{says}"
    known = recall(sweep.folder)
    states |= {job: last_word(known[job], states.get(job)) for job in ids if job in known}
    return SweepStatus(
        [standing(sweep.run_folders / run, finished(run), latest.get(run), states) for run in sweep.runs], trouble
    )


def standing(folder: Path, finished: bool, job: LatestJob | None, states: Mapping[str, JobState]) -> Standing:
    """One run's line."""
    e = gather(folder, finished, job, states)
    verdict = judge(e)
    progress, left = pace(folder)
    running = verdict.state == "running"
    # what an earlier job said is not this one's last word
    spoken = job is None or any(attempt.job == job.id for attempt in e.attempts)
    output = tail(folder / "output.log", 1) if spoken and verdict.state != "pending" else ""
    return Standing(
        folder.name,
        job.id if job is not None else "",
        verdict,
        progress,
        left if running else "",
        _node(e) if running else "",
        _requeues(e),
        "" if finished else output,
    )


def pace(folder: Path) -> tuple[str, str]:
    """Iterations done of all, and the time that the rest of training takes at the last lines' pace; "" for unknown."""
    try:
        total = json.loads((folder / "config.json").read_text())["train"]["iterations"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return "", ""
    numbers = ("iteration", "seconds")
    lines = [
        line
        for line in last_logged(folder)
        if line.get("kind") == "train" and all(isinstance(line.get(name), int | float) for name in numbers)
    ]
    if not lines:
        return f"0/{total}", ""
    first, last = lines[0], lines[-1]
    done = last["iteration"]
    steps, seconds = done - first["iteration"], last["seconds"] - first["seconds"]
    if done >= total:
        return f"{done}/{total}", "measuring"
    return f"{done}/{total}", duration((total - done) * seconds / steps) if steps > 0 else ""


def _node(e: Evidence) -> str:
    if e.state is not None and e.state.node:
        return e.state.node
    if e.lock.held and e.lock.holder is not None:
        return e.lock.holder.host
    return e.attempts[-1].node if e.attempts and e.attempts[-1].how is None else ""


def _requeues(e: Evidence) -> str:
    """Of the latest job, by Slurm's count or by the run's own."""
    if e.job is None:
        return ""
    noted = sum(attempt.job == e.job.id for attempt in e.attempts) - 1
    noted += bool(e.attempts) and e.attempts[-1].how == attempts.REQUEUED and e.attempts[-1].job == e.job.id
    counted = e.state.restarts if e.state is not None and e.state.restarts is not None else 0
    return str(max(noted, counted, 0))
