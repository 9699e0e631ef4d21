"""Who holds a lock: enough of a process to tell, on its own machine, whether it still lives."""

from __future__ import annotations

import json
import os
import socket
from dataclasses import asdict, dataclass
from pathlib import Path

from clel.machine.process import boot, gone, process, slurm_job


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
        if not self.boot or (self.host, self.boot) != (socket.gethostname(), boot()):
            return False
        started = process(self.pid)[1]
        return gone(self.pid) or (self.started != "" and started not in ("", self.started))


def myself(token: str) -> Holder:
    """This process."""
    return Holder(socket.gethostname(), boot(), os.getpid(), process(os.getpid())[1], slurm_job(), token)


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
