"""Who holds a lock: enough of a process to tell, on its own machine, whether it still lives."""

from __future__ import annotations

import hashlib
import json
import os
import socket
import uuid
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path


@dataclass(frozen=True)
class Holder:
    """A process, as it describes itself in the lock file.

    Attributes:
        host: its machine's name.
        boot: that machine's boot, and the process-id namespace: only where both are ours does `pid` mean something.
        pid: its process id.
        started: when it started, in the kernel's ticks since boot; "" where the system does not tell. Ids are reused.
        job: its Slurm job ("123_4"), "" outside Slurm.
        token: random, one a lock.
    """

    host: str
    boot: str
    pid: int
    started: str
    job: str
    token: str

    def __str__(self) -> str:
        job = f", Slurm job {self.job}" if self.job else ""
        return f"process {self.pid} on {self.host}{job}"

    def to_json(self) -> str:
        """One line, as the lock file holds it."""
        return json.dumps(asdict(self)) + "\n"

    def dead(self) -> bool:
        """Whether the process is known to be gone; False where this machine cannot know."""
        if not self.boot or (self.host, self.boot) != (socket.gethostname(), _boot()):
            return False
        started = _process(self.pid)[1]
        return gone(self.pid) or (self.started != "" and started not in ("", self.started))


def myself(token: str) -> Holder:
    """This process."""
    return Holder(socket.gethostname(), _boot(), os.getpid(), _process(os.getpid())[1], slurm_job(), token)


def gone(pid: int) -> bool:
    """Whether no process of this machine that could still do anything has that id."""
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return True
    except PermissionError:
        pass  # another user's, hence alive
    return _process(pid)[0] == "Z"


@cache
def machine() -> str:
    """8 hex digits for this machine, since it was started, and the process-id namespace, where these can be told."""
    return hashlib.sha256(f"{socket.gethostname()} {_boot() or uuid.getnode()}".encode()).hexdigest()[:8]


def read_holder(path: Path) -> Holder | None:
    """The holder that a lock file names; None where it cannot be made out.

    Raises:
        FileNotFoundError: the file is gone.
    """
    try:
        return Holder(**json.loads(path.read_text()))
    except FileNotFoundError:
        raise
    except (OSError, ValueError, TypeError, RecursionError):
        return None


def slurm_job() -> str:
    """The Slurm job that this process is part of, as squeue prints it: "123_4" for a task of an array; "" for none."""
    array, task = os.environ.get("SLURM_ARRAY_JOB_ID"), os.environ.get("SLURM_ARRAY_TASK_ID")
    return f"{array}_{task}" if array and task else os.environ.get("SLURM_JOB_ID", "")


def _boot() -> str:
    """This boot and process-id namespace; "" where the system does not tell, so that no process counts as dead."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return ""


def _process(pid: int) -> tuple[str, str]:
    """State letter and start time of a process, from /proc; empty where there is none."""
    try:
        # the command's name, in brackets, may hold anything
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return fields[0], fields[19]
    except (OSError, IndexError):
        return "", ""
