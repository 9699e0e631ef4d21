"""What the suite asks of Slurm: where its jobs stand, cancelling them, and what a partition can take.

Jobs are asked for at squeue, which the controller answers and every site has. scontrol is asked where squeue fails, and
accounting (sacct) for what the controller has forgotten: a site may lack it, and it is late by seconds to minutes.
"""

from __future__ import annotations

from collections.abc import Sequence

from experiments.slurm.clients import NONE_HERE, SchedulerError, ask, no_slurm, require_slurm, unknown_job
from experiments.slurm.partitions import check_partition, max_array_size
from experiments.slurm.states import (
    SACCT_FORMAT,
    SQUEUE_FORMAT,
    JobState,
    from_sacct,
    from_scontrol,
    from_squeue,
)

__all__ = [
    "JobState",
    "SchedulerError",
    "cancel_jobs",
    "check_partition",
    "job_states",
    "max_array_size",
    "require_slurm",
]

CHUNK = 300
"""Ids in one call of a client."""


def job_states(ids: Sequence[str]) -> dict[str, JobState]:
    """Where each job stands; every id asked for is a key, UNKNOWN where no client knows it.

    An array costs one id, however many of its tasks are asked for. A task that was cancelled while it waited is in no
    client's answer afterwards, and a finished one only for as long as the controller remembers (MinJobAge, 5 minutes by
    default) or accounting works.

    Raises:
        SchedulerError: no client answers at all.
    """
    jobs = list(dict.fromkeys(one.partition("_")[0] for one in ids))
    found, trouble = _ask_controller(jobs)
    complaint = "; ".join(trouble)
    missing = [one for one in ids if one not in found]
    if missing:
        accounted, complaints = _ask_accounting(list(dict.fromkeys(one.partition("_")[0] for one in missing)))
        if complaint and complaints and not found and not accounted:
            if no_slurm(complaint):
                raise SchedulerError(f"{NONE_HERE} ({complaint})")
            raise SchedulerError(f"Slurm does not answer: {complaint}; {complaints}. Try again later")
        for one in missing:
            found[one] = _judged(one, accounted.get(one), complaint)
    return {one: found[one] for one in ids}


def cancel_jobs(ids: Sequence[str]) -> None:
    """Cancel jobs and array tasks; those that have ended, or that nobody knows, are passed over.

    Raises:
        SchedulerError: Slurm does not answer, or refuses.
    """
    for start in range(0, len(ids), CHUNK):
        answer = ask("scancel", *ids[start : start + CHUNK])
        if answer.error and not unknown_job(answer.error) and "already" not in answer.error:
            raise SchedulerError(f"the jobs were not all cancelled: {answer.error}. Try again later")


def _ask_controller(jobs: Sequence[str]) -> tuple[dict[str, JobState], list[str]]:
    """What the controller knows of these jobs; complaints where it did not answer."""
    found: dict[str, JobState] = {}
    for start in range(0, len(jobs), CHUNK):
        chunk = jobs[start : start + CHUNK]
        arguments = ["--noheader", "--array", "--states=all", f"--jobs={','.join(chunk)}", f"--Format={SQUEUE_FORMAT}"]
        answer = ask("squeue", *arguments)
        if answer.error and not unknown_job(answer.error):
            complaints = [answer.error]
            if "Unable to contact" in answer.error:
                return found, complaints
            for job in chunk:
                answer = ask("scontrol", "--oneliner", "show", "job", job)
                if answer.error and not unknown_job(answer.error):
                    return found, [*complaints, answer.error]
                found |= from_scontrol(answer.text)
        else:
            found |= from_squeue(answer.text)
    return found, []


def _ask_accounting(jobs: Sequence[str]) -> tuple[dict[str, JobState], str]:
    """What accounting knows of these jobs; a complaint where there is none or it does not answer."""
    found: dict[str, JobState] = {}
    for start in range(0, len(jobs), CHUNK):
        answer = ask(
            *("sacct", "--noheader", "--parsable2", "--allocations"),
            *(f"--jobs={','.join(jobs[start : start + CHUNK])}", f"--format={SACCT_FORMAT}"),
        )
        if answer.error:
            return found, answer.error
        found |= from_sacct(answer.text)
    return found, ""


def _judged(job: str, accounted: JobState | None, complaint: str) -> JobState:
    """The state of a job that the controller did not tell of, from accounting's word and the controller's complaint."""
    if accounted is None:
        return JobState(job, "UNKNOWN", "", None, complaint or "neither the controller nor accounting knows it")
    if not complaint and accounted.state in ("PENDING", "RUNNING"):
        # the controller answered and has no such job: it has ended, and accounting has not heard how
        reason = f"accounting still has it as {accounted.state}, the controller has forgotten it"
        return JobState(job, "UNKNOWN", accounted.node, None, reason)
    return accounted
