"""What a job runs: one run's process as a child, asked to save and leave when the job must, and the job requeued.

The task saves nothing itself. Training saves at the next step boundary after a signal, and at its checkpoints anyway,
so that whatever happens to this process costs no more than the steps since then. Only the standard library is imported
before the child starts.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from experiments.slurm import attempts
from experiments.slurm.traces import FINAL, recorded, tail

STOPS = (signal.SIGTERM, signal.SIGUSR2)
BUSY, STOPPED = 75, tuple(128 + number for number in (signal.SIGINT, *STOPS))  # exit statuses of experiments.runs.cell


class RunFailed(RuntimeError):
    """The run did not end well; the message has the last lines of its log."""


@dataclass
class Task:
    """Callable for submitit: executes the run in `folder`, a path with its config.json.

    Attributes:
        folder: the run's folder, absolute.
        home: folder that the sweep was submitted from; relative paths in the configuration mean it.
        requeues: times that this job may be requeued.
        patience: seconds that the child has to save and leave, once asked.
    """

    folder: str
    home: str
    requeues: int
    patience: float
    child: int = field(default=0, init=False, repr=False)
    stopped: str = field(default="", init=False, repr=False)
    requeueing: bool = field(default=False, init=False, repr=False)

    def __call__(self) -> str:
        """Returns how the run ended.

        Raises:
            RunFailed: it has no result; the message says why.
        """
        folder, job = Path(self.folder), job_id()
        signal.signal(signal.SIGTERM, self._stop)
        attempts.started(folder, job, socket.gethostname())
        if starts(folder, job) > self.requeues + 1:
            # requeued by others: a node that fails each time, or scontrol requeue
            raise RunFailed(self.give_up(folder, job))
        try:
            status = self._run(folder)
            how, why = self._judge(folder, status)
        except Exception as error:
            # the signal's handler speaks through exceptions too: of submitit, where it may not or cannot requeue
            if self.requeueing:
                attempts.ended(folder, job, attempts.STOPPED, f"state saved, but not requeued: {error}")
            elif not self.stopped:
                attempts.ended(folder, job, attempts.FAILED, str(error))
            raise
        attempts.ended(folder, job, how, why)
        if how != attempts.FINISHED:
            raise RunFailed(f"{folder.name}: {why}\n{tail(folder / 'output.log')}")
        return f"{folder.name}: {why}"

    def checkpoint(self) -> Any:
        """submitit asks for this on SIGUSR2: the time limit is near, or the job is preempted. Only resubmits.

        Returns the submission to requeue, or None where the run must not or cannot go on in this job.
        """
        from submitit.core.utils import DelayedSubmission

        folder, job = Path(self.folder), job_id()
        saved = self.ask_to_leave()
        if recorded(folder)[0] in FINAL:
            self.stopped = "finished"
            attempts.ended(folder, job, attempts.FINISHED, "at the last moment")
            return None
        if starts(folder, job) > self.requeues:
            self.stopped = self.give_up(folder, job)
            return None
        if shutil.which("scontrol") is None:
            self.stopped = f"{saved}; not requeued, since this node has no scontrol: make resume goes on"
            print(self.stopped, file=sys.stderr, flush=True)
            attempts.ended(folder, job, attempts.STOPPED, self.stopped)
            return None
        attempts.ended(folder, job, attempts.REQUEUED, saved)
        self.requeueing = True
        return DelayedSubmission(replace(self))

    def _run(self, folder: Path) -> int:
        """Start the child and wait for it; its exit status, negative for a signal."""
        if self.stopped:
            return STOPPED[0]
        command = [sys.executable, "-m", "experiments.runs.cell", self.folder, "--at", self.home]
        with open(folder / "output.log", "ab") as output:
            # else the last line would be the attempt's before, until the child has one
            with suppress(OSError):  # a full disk: the run says what of it was kept
                output.write(f"-- job {job_id()} on {socket.gethostname()} starts\n".encode())
                output.flush()
            # the child inherits the block and lifts it once it can answer: a signal to all processes of the job that
            # comes before does not kill it
            signal.pthread_sigmask(signal.SIG_BLOCK, STOPS)
            try:
                process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
                self.child = process.pid
            finally:
                signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPS)
        # not Popen.wait, whose lock the signal's handler would meet
        while not child_ended(self.child):
            time.sleep(0.2)
        status = process.wait()
        if status in (*STOPPED, -signal.SIGTERM, -signal.SIGUSR2) and not self.stopped:
            time.sleep(2)  # the same signal is on its way to this process
        return status

    def _judge(self, folder: Path, status: int) -> tuple[str, str]:
        found, reason = recorded(folder)
        if status == 0 and found in FINAL:
            return attempts.FINISHED, found
        if self.stopped:
            return attempts.STOPPED, f"{self.stopped}; make resume goes on"
        if status == BUSY:
            return attempts.FAILED, "another process is at work on it"
        if status in STOPPED:
            return attempts.STOPPED, "its process was asked to leave; make resume goes on"
        if status < 0:
            name = signal.Signals(-status).name
            memory = ", perhaps for want of memory (MEMORY=...)" if status == -signal.SIGKILL else ""
            return attempts.FAILED, f"its process was killed by {name}{memory}"
        return attempts.FAILED, f"{found}: {reason}" if found else f"its process failed with exit status {status}"

    def _stop(self, number: int, frame: Any) -> None:
        """SIGTERM: cancelled, or Slurm itself requeues. The child leaves, and this task after it."""
        self.stopped = self.stopped or "stopped by SIGTERM"
        if self.child and not child_ended(self.child):
            os.kill(self.child, signal.SIGTERM)

    def ask_to_leave(self) -> str:
        """Let the child save and leave, or end it when its time is over; says which."""
        if not self.child or child_ended(self.child):
            return "no process was at work"
        os.kill(self.child, signal.SIGTERM)
        deadline = time.monotonic() + self.patience
        while not child_ended(self.child):
            if time.monotonic() > deadline:
                os.kill(self.child, signal.SIGKILL)
                return f"did not leave within {self.patience:.0f} s and was ended; its last checkpoint counts"
            time.sleep(0.1)
        return "state saved"

    def give_up(self, folder: Path, job: str) -> str:
        """Record the status timeout; returns the reason, in words for a person."""
        reason = (
            f"started {self.requeues + 1} times by job {job} and still not at its end: its time limit, or preemption. "
            "What it saved stands: make resume goes on, with LIMIT_MINUTES=... for longer jobs or REQUEUES=... for more"
        )
        command = [sys.executable, "-m", "experiments.runs.cell", self.folder, "--at", self.home, "--give-up", reason]
        with open(folder / "output.log", "ab") as output:
            subprocess.run(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, check=False)
        attempts.ended(folder, job, attempts.GAVE_UP, reason)
        return reason


@dataclass(frozen=True)
class CollectTask:
    """Callable for submitit: makes the tables of a sweep from whatever its runs have come to."""

    sweep: str
    home: str

    def __call__(self) -> str:
        command = [sys.executable, "-m", "experiments", "collect", "--folder", self.sweep, "--at", self.home]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        print(done.stdout, done.stderr, flush=True)
        if done.returncode not in (0, 1):  # 1: made, but runs are missing, which the table says
            said = "\n".join(done.stderr.splitlines()[-15:])
            raise RunFailed(f"the table was not made, exit status {done.returncode}; make report makes it\n{said}")
        return done.stdout


def job_id() -> str:
    """This job as squeue prints it."""
    array, number = os.environ.get("SLURM_ARRAY_JOB_ID"), os.environ.get("SLURM_ARRAY_TASK_ID")
    return f"{array}_{number}" if array and number else os.environ.get("SLURM_JOB_ID", "")


def starts(folder: Path, job: str) -> int:
    """Times that this job has started, by its own notes or by Slurm's count; a full disk takes no notes."""
    noted = sum(attempt.job == job for attempt in attempts.all_of(folder))
    return max(noted, int(os.environ.get("SLURM_RESTART_COUNT") or 0) + 1)


def child_ended(pid: int) -> bool:
    """Whether a child has ended; leaves its exit status to be fetched."""
    try:
        return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    except ChildProcessError:
        return True
