"""Slurm's command-line clients, called so that they always come back and print what is expected of them."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass

SECONDS = 60.0
"""Longest that a client may take; against a dead controller each of them tries for about 10 s by itself."""

_OWN_SETTINGS = ("SQUEUE_", "SINFO_", "SACCT_", "SCANCEL_")


NONE_HERE = "there is no Slurm on this machine: ask on a login node of the cluster, with its Slurm module loaded"


class SchedulerError(RuntimeError):
    """Slurm cannot do what is asked, or does not answer; the message is for the person who asked."""


@dataclass(frozen=True)
class Answer:
    """What a client printed, and what went wrong in one line, empty where nothing did."""

    text: str
    error: str = ""


def ask(program: str, *arguments: str) -> Answer:
    """Run a client to its end or its time limit; never raises, so that one silent client leaves the others to be asked.

    Variables that change what a client shows (SQUEUE_FORMAT, SQUEUE_USERS, ...) do not reach it, and it writes lists of
    array tasks in full however long they are.
    """
    environment = {name: value for name, value in os.environ.items() if not name.startswith(_OWN_SETTINGS)}
    environment |= {"SLURM_BITSTR_LEN": "0", "LC_ALL": "C"}
    try:
        done = subprocess.run(
            [program, *arguments],
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=SECONDS,
            check=False,
        )
    except FileNotFoundError:
        return Answer("", f"{program} is not on PATH")
    except subprocess.TimeoutExpired:
        return Answer("", f"{program} did not answer within {SECONDS:.0f} s")
    except OSError as error:
        return Answer("", f"{program}: {error}")
    complaint = done.stderr.strip().splitlines()
    if done.returncode == 0:
        return Answer(done.stdout)
    return Answer(done.stdout, complaint[-1] if complaint else f"{program} ended with exit status {done.returncode}")


def unknown_job(error: str) -> bool:
    """Whether a client's complaint means that the controller is well and has no such job."""
    return "Invalid job id" in error


def no_slurm(error: str) -> bool:
    """Whether a client's complaint means that this machine belongs to no cluster, which waiting does not change."""
    return "is not on PATH" in error or "Could not establish a configuration source" in error


def require_slurm() -> None:
    """Raise SchedulerError unless sbatch is there and a controller answers."""
    if shutil.which("sbatch") is None:
        raise SchedulerError(
            "no sbatch on PATH: run this on a login node of the cluster (load its Slurm module where it has one), or "
            "give CLUSTER=local. scripts/slurm-local up starts a one-node Slurm on this machine, to try"
        )
    answer = ask("scontrol", "ping")
    if " is UP" not in answer.text:
        if no_slurm(answer.error):
            raise SchedulerError(f"{NONE_HERE} ({answer.error})")
        said = ", ".join(line for line in answer.text.splitlines() if "Slurmctld" in line) or answer.error
        raise SchedulerError(
            f"Slurm's controller does not answer ({said}). Nothing was submitted; try again later, and see whether "
            "sinfo works and SLURM_CONF names the cluster's slurm.conf"
        )
