"""A job that several runs share, side by side on its GPU: each is a task of its own, in a process of its own.

A signal to leave is handed on to all of them; near its limit the job is requeued as a whole, and those of its runs that
are finished then end at once. Only the standard library is imported before the runs start.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from experiments.slurm import attempts
from experiments.slurm.task import STOPS, RunFailed, Task, child_ended, job_id, starts
from experiments.slurm.traces import FINAL, recorded

LEAVING = 5.0
"""Seconds that a task takes to note how its run left, beside the run's own patience."""


@dataclass
class Together:
    """Callable for submitit: executes the tasks side by side; a run that fails fails the job once all have ended."""

    tasks: list[Task]
    children: list[int] = field(default_factory=list, init=False, repr=False)

    def __call__(self) -> str:
        """Returns the names of its runs.

        Raises:
            RunFailed: some have no result; their attempts say why.
        """
        signal.signal(signal.SIGTERM, lambda number, frame: self._hand_on())
        processes = []
        # a child lifts the block once it can answer: until then a signal to all processes of the job waits for it
        signal.pthread_sigmask(signal.SIG_BLOCK, STOPS)
        try:
            for task in self.tasks:
                order = [task.folder, task.home, str(task.requeues), str(task.patience)]
                order = [sys.executable, "-m", "experiments.slurm.together", *order]
                processes.append(subprocess.Popen(order, stdin=subprocess.DEVNULL))
                self.children.append(processes[-1].pid)
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPS)
        # not Popen.wait, whose lock the signal's handler would meet
        while not all(map(child_ended, self.children)):
            time.sleep(0.2)
        names = [Path(task.folder).name for task in self.tasks]
        statuses = [process.wait() for process in processes]
        bad = [name for name, status in zip(names, statuses, strict=True) if status]
        if bad:
            raise RunFailed(f"without a result, of the {len(names)} runs of this job: {', '.join(bad)}")
        return ", ".join(names)

    def checkpoint(self) -> Any:
        """submitit asks for this on SIGUSR2, as of a single task. Returns the submission to requeue, or None."""
        from submitit.core.utils import DelayedSubmission

        job = job_id()
        self._hand_on()
        deadline = time.monotonic() + max(task.patience for task in self.tasks) + LEAVING
        while not all(map(child_ended, self.children)) and time.monotonic() < deadline:
            time.sleep(0.1)
        going_on = []
        for task in self.tasks:
            folder = Path(task.folder)
            if recorded(folder)[0] in FINAL:
                if [attempt.how for attempt in attempts.all_of(folder)][-1:] != [attempts.FINISHED]:
                    attempts.ended(folder, job, attempts.FINISHED, "at the last moment")
            elif starts(folder, job) > task.requeues:
                task.give_up(folder, job)
            elif shutil.which("scontrol") is not None:  # else it was stopped, as its own task has noted
                attempts.ended(folder, job, attempts.REQUEUED, "state saved")
                going_on.append(task)
        return DelayedSubmission(replace(self, tasks=going_on)) if going_on else None

    def _hand_on(self) -> None:
        for child in self.children:
            if not child_ended(child):
                os.kill(child, signal.SIGTERM)


class Shared(Task):
    """One of the tasks, in a process of its own: asked to leave, it ends a run that does not save in time."""

    def _stop(self, number: int, frame: Any) -> None:
        self.stopped = self.stopped or "stopped by SIGTERM"
        self.ask_to_leave()


def main(folder: str, home: str, requeues: str, patience: str) -> int:
    """Exit status 0 where the task's run has a result."""
    task = Shared(folder, home, int(requeues), float(patience))
    # Slurm's notice comes to every process of the job: the run answers it, and this one its own job's SIGTERM
    signal.signal(signal.SIGUSR2, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, task._stop)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPS)
    try:
        print(task(), flush=True)
    except RunFailed as failed:
        print(failed, file=sys.stderr, flush=True)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
