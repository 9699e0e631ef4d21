"""What squeue, scontrol and sacct print about jobs, read into one form; lists of array tasks written out."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class JobState:
    """Where a job stands, as Slurm sees it.

    `state` is one of PENDING, RUNNING, COMPLETED, FAILED, CANCELLED, TIMEOUT, OUT_OF_MEMORY, NODE_FAIL, PREEMPTED and
    UNKNOWN; Slurm's other states are counted under these.
    """

    id: str
    """123_4 for a task of an array, 123 otherwise."""
    state: str
    node: str
    """Node or nodes it runs or ran on; empty if none."""
    restarts: int | None
    """Times that it was requeued; None where the client that answered does not say."""
    reason: str
    """Slurm's word for why it waits or ended; for UNKNOWN, why nothing is known."""


STATES = (
    "PENDING",
    "RUNNING",
    "COMPLETED",
    "FAILED",
    "CANCELLED",
    "TIMEOUT",
    "OUT_OF_MEMORY",
    "NODE_FAIL",
    "PREEMPTED",
)

ENDED = ("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "OUT_OF_MEMORY", "NODE_FAIL")
"""States of a job that does not run again by itself; a preempted one may."""

_COUNTED_UNDER = {
    **{state: state for state in STATES},
    **dict.fromkeys(
        ("CONFIGURING", "COMPLETING", "SUSPENDED", "SIGNALING", "STAGE_OUT", "STOPPED", "RESIZING"), "RUNNING"
    ),
    **dict.fromkeys(("REQUEUED", "REQUEUE_HOLD", "REQUEUE_FED", "RESV_DEL_HOLD", "SPECIAL_EXIT"), "PENDING"),
    **dict.fromkeys(("LAUNCH_FAILED", "RECONFIG_FAIL"), "FAILED"),
    "BOOT_FAIL": "NODE_FAIL",
    "DEADLINE": "TIMEOUT",
    "REVOKED": "CANCELLED",
}

# column, width: fixed widths are understood by every squeue of the last ten years, separators are not
SQUEUE_COLUMNS = {"JobArrayID": 40, "State": 24, "RestartCnt": 12, "NodeList": 80, "Reason": 60}
SQUEUE_FORMAT = ",".join(f"{name}:{width}" for name, width in SQUEUE_COLUMNS.items())
SACCT_FORMAT = "JobID,State,NodeList"


def canonical(state: str) -> str:
    """Slurm's state, such as "CANCELLED by 1000" or "COMPLETING", as one of JobState's; UNKNOWN for a new one."""
    words = state.replace("+", " ").split()
    return _COUNTED_UNDER.get(words[0], "UNKNOWN") if words else "UNKNOWN"


def from_squeue(text: str) -> dict[str, JobState]:
    """Jobs in the output of squeue --noheader --array --Format=SQUEUE_FORMAT."""
    rows = []
    for line in text.splitlines():
        cells, start = [], 0
        for width in SQUEUE_COLUMNS.values():
            cells.append(line[start : start + width].strip())
            start += width
        job, state, restarts, node, reason = cells
        rows.append((job, state, node, int(restarts) if restarts.isdigit() else None, reason))
    return _written_out(rows)


def from_scontrol(text: str) -> dict[str, JobState]:
    """Jobs in the output of scontrol --oneliner show job."""
    rows = []
    for line in text.splitlines():
        fields = dict(re.findall(r"(?:^| )(\w+)=(\S*)", line))
        if "JobState" not in fields:
            continue
        job = fields["JobId"]
        if "ArrayTaskId" in fields:
            task = fields["ArrayTaskId"]
            job = f"{fields['ArrayJobId']}_{task if task.isdigit() else f'[{task}]'}"
        restarts = fields.get("Restarts", "")
        node = fields.get("NodeList", "")
        rows.append((job, fields["JobState"], node, int(restarts) if restarts.isdigit() else None, fields["Reason"]))
    return _written_out(rows)


def from_sacct(text: str) -> dict[str, JobState]:
    """Jobs in the output of sacct --noheader --parsable2 --allocations --format=SACCT_FORMAT."""
    rows = []
    for line in text.splitlines():
        cells = line.split("|")
        if len(cells) == len(SACCT_FORMAT.split(",")):
            rows.append((cells[0], cells[1], cells[2], None, ""))
    return _written_out(rows)


def tasks(job: str) -> Iterator[str]:
    """The jobs that an id stands for: 123_[0,4-9:2%2] is 123_0, 123_4, 123_6 and 123_8 (two at a time)."""
    match = re.fullmatch(r"(\d+)_\[([^\]%]*)(?:%\d+)?\]", job)
    if match is None:
        yield job
        return
    for part in match.group(2).split(","):
        span = re.fullmatch(r"(\d+)(?:-(\d+)(?::(\d+))?)?", part)
        if span is not None:
            first, last, step = int(span.group(1)), int(span.group(2) or span.group(1)), int(span.group(3) or 1)
            yield from (f"{match.group(1)}_{number}" for number in range(first, last + 1, step))


def _written_out(rows: Sequence[tuple[str, str, str, int | None, str]]) -> dict[str, JobState]:
    found = {}
    # a line of its own is newer than the list that its task was taken from
    for job, state, node, restarts, reason in sorted(rows, key=lambda row: "[" not in row[0]):
        for one in tasks(job):
            found[one] = JobState(
                one,
                canonical(state),
                "" if node in ("(null)", "None assigned", "n/a", "N/A") else node,
                restarts,
                "" if reason in ("None", "(null)") else reason,
            )
    return found
