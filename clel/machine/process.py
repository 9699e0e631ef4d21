"""Processes of this machine: whether one still lives, and what tells this boot, machine and job from others."""

from __future__ import annotations

import hashlib
import os
import socket
import uuid
from functools import cache
from pathlib import Path


def gone(pid: int) -> bool:
    """Whether no process of this machine that could still do anything has that id."""
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return True
    except PermissionError:
        pass  # another user's, hence alive
    return process(pid)[0] == "Z"


@cache
def machine_id() -> str:
    """8 hex digits for this machine, since it was started, and the process-id namespace, where these can be told."""
    return hashlib.sha256(f"{socket.gethostname()} {boot() or uuid.getnode()}".encode()).hexdigest()[:8]


def slurm_job() -> str:
    """The Slurm job that this process is part of, as squeue prints it: "123_4" for a task of an array; "" for none."""
    array, task = os.environ.get("SLURM_ARRAY_JOB_ID"), os.environ.get("SLURM_ARRAY_TASK_ID")
    return f"{array}_{task}" if array and task else os.environ.get("SLURM_JOB_ID", "")


def boot() -> str:
    """This boot and process-id namespace; "" where the system does not tell, so that no process counts as dead."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return ""


def process(pid: int) -> tuple[str, str]:
    """State letter and start time of a process, from /proc; empty where there is none."""
    try:
        # the command's name, in brackets, may hold anything
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return fields[0], fields[19]
    except (OSError, IndexError):
        return "", ""
