"""What became of a run: Slurm's word where it has one, else what the run's own folder shows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path

from clel.runs.record import FINAL
from clel.storage.lock import Look, look
from clel.storage.log import duration
from experiments.slurm import attempts
from experiments.slurm.attempts import Attempt
from experiments.slurm.states import JobState
from experiments.slurm.sweep import SETUP_FAILED, LatestJob, job_log
from experiments.slurm.traces import recorded, tail

ALIVE = ("pending", "running", "unknown")
"""States of a run that must not be submitted again."""
SETTLING = 600.0
"""Seconds after its submission in which a job that Slurm does not know may still be on its way."""
FORGOTTEN = ("neither the controller", "accounting still has it")
"""How the reason of an UNKNOWN job begins where the controller answered and has no such job (scheduler.py)."""


SILENT = "Slurm does not answer; it is what was known before"
"""Why a state stands that nobody confirms."""


@dataclass(frozen=True)
class Evidence:
    """All that is known of a run.

    Attributes:
        finished: whether it has a result that stands, measured as its table asks.
        status, reason: of its record, None without one.
        job: the latest that was submitted for it. state: what Slurm says of that; None where Slurm was not to be asked.
        attempts: its starts, oldest first. lock: who works in its folder.
        age, since: seconds since the job was submitted, and since the last start.
        said: the last line of the job's own log, where the job may be over.
    """

    finished: bool
    status: str | None
    reason: str
    job: LatestJob | None
    state: JobState | None
    attempts: tuple[Attempt, ...]
    lock: Look
    age: float
    since: float = 0.0
    said: str = ""


@dataclass(frozen=True)
class RunState:
    """finished, pending, running, unknown, cancelled, stopped, timeout, failed, lost or waiting; and why."""

    state: str
    why: str = ""

    @property
    def alive(self) -> bool:
        """Whether a job of it may still be there."""
        return self.state in ALIVE


def gather(folder: Path, finished: bool, job: LatestJob | None, states: Mapping[str, JobState]) -> Evidence:
    """Read a run's folder; states: Slurm's word on the jobs, empty where it does not answer."""
    status, reason = recorded(folder)
    state = states.get(job.id) if job is not None else None
    # thousands of runs that are finished or wait cost their file server no more than that
    quiet = finished or (state is not None and state.state == "PENDING") or not folder.is_dir()
    seen = Look(0) if quiet else look(folder)
    tries = tuple(attempts.all_of(folder))
    age = _seconds_since(job.submitted) if job is not None else 0.0
    since = _seconds_since(tries[-1].started) if tries else 0.0
    over = not quiet and (state is None or state.state != "RUNNING")
    said = tail(job_log(folder, job), 1) if over and job is not None else ""
    return Evidence(finished, status, reason, job, state, tries, seen, age, since, said)


def judge(e: Evidence) -> RunState:
    """Where the run stands."""
    if e.finished:
        return RunState("finished", e.status if e.status != "ok" and e.status is not None else "")
    slurm = e.state.state if e.state is not None else "UNKNOWN"
    if e.job is not None and slurm == "PENDING":
        return RunState("pending", e.state.reason if e.state else "")
    if e.job is not None and slurm == "RUNNING":
        return RunState("running", "" if e.lock.held else _without_a_sign(e, e.job))
    if e.lock.held:
        return RunState("running", f"by {e.lock}")
    if e.job is None:
        return _without_a_job(e)
    if e.said.startswith(SETUP_FAILED):
        return RunState("failed", e.said)
    if slurm == "UNKNOWN":
        return _unknown(e, e.job)
    if slurm == "CANCELLED" or e.job.cancelled:
        return RunState("cancelled", SILENT if e.state is not None and e.state.reason == SILENT else "")
    return _ended(e, slurm)


def last_word(known: JobState, now: JobState | None) -> JobState:
    """What counts of a job that had ended when Slurm last told: its state now, where there is one; else that one."""
    if now is not None and now.state != "UNKNOWN":
        return now
    return known if _forgotten(now) else replace(known, reason=SILENT)


def _forgotten(state: JobState | None) -> bool:
    """Whether Slurm answered, and has no such job."""
    return state is not None and state.reason.startswith(FORGOTTEN)


def _without_a_sign(e: Evidence, job: LatestJob) -> str:
    """Why the process of a job that runs may hold no lock."""
    last = e.attempts[-1] if e.attempts and e.attempts[-1].job == job.id else None
    if last is None or last.how == attempts.REQUEUED:
        return "its job has begun, and the run starts"
    if last.how is not None:
        return f"its process has ended ({last.how}), and so will its job"
    if e.since < SETTLING:
        return "it starts"
    return f"no sign of life of its process, which started {duration(e.since)} ago on {last.node}"


def _without_a_job(e: Evidence) -> RunState:
    if e.status is not None and e.status not in FINAL:
        return RunState("timeout" if e.status == "timeout" else "failed", _recorded(e))
    return RunState("waiting", "not submitted")


def _unknown(e: Evidence, job: LatestJob) -> RunState:
    """Slurm has no word on the job, or gave none."""
    mine = [attempt for attempt in e.attempts if attempt.job == job.id]
    forgotten = _forgotten(e.state)
    if job.cancelled:
        return RunState("cancelled", "" if forgotten else SILENT)
    if not mine:
        if forgotten and e.age > SETTLING:
            return RunState("lost", "Slurm has forgotten its job, which never started")
        return RunState("unknown", "its job has not started, and Slurm does not say where it is")
    # SIGTERM is also how Slurm begins a requeue of its own
    if mine[-1].how in (attempts.REQUEUED, attempts.STOPPED) and not forgotten:
        return RunState("unknown", "its job left or was requeued, and Slurm does not say where it is")
    if mine[-1].how is None and not forgotten and e.since < SETTLING:
        return RunState("unknown", "its job has just started, and Slurm does not say where it is")
    return _ended(e, "its job is gone")


def _ended(e: Evidence, slurm: str) -> RunState:
    """The job is over and the run has no result."""
    last = e.attempts[-1] if e.attempts and e.job is not None and e.attempts[-1].job == e.job.id else None
    if e.status == "timeout" or (last is not None and last.how == attempts.GAVE_UP):
        return RunState("timeout", last.why if last is not None else e.reason)
    if e.status is not None and e.status not in FINAL:
        return RunState("failed", _recorded(e))
    if last is None:
        said = f": {e.said}" if e.said else ""
        return RunState(
            "lost", f"{_words(slurm)} before the run started{said}; make logs RUN=... shows the job's output"
        )
    if last.how is None or last.how == attempts.REQUEUED:
        return RunState("lost", f"{_words(slurm)} on {last.node}, with no word from the run")
    return RunState("stopped" if last.how == attempts.STOPPED else "failed", last.why)


def _seconds_since(time: str) -> float:
    try:
        return (datetime.now(timezone.utc) - datetime.fromisoformat(time)).total_seconds()
    except ValueError:
        return 0.0


def _recorded(e: Evidence) -> str:
    return f"{e.status}: {e.reason}" if e.reason else str(e.status)


def _words(slurm: str) -> str:
    return slurm if slurm.islower() or " " in slurm else f"{slurm.lower().replace('_', ' ')} (Slurm)"
