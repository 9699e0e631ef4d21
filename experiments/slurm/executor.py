"""submitit's executor for Slurm: what a job asks for and begins with, any site's answer read, and a trial of it."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from unittest.mock import patch

from submitit.core import utils
from submitit.slurm import slurm

from clel.data.registry import data_root
from clel.machine.threads import wait_settings
from clel.storage.atomic import temporary_folder
from clel.storage.cache import cache_root
from experiments.slurm.clients import SchedulerError, ask
from experiments.slurm.resources import Resources
from experiments.slurm.sweep import JOBS, SETUP_FAILED
from experiments.sweep.slurm_options import PARALLEL, SlurmOptions

NO_LIMIT = 1_000_000
"""Timeouts that submitit allows: it takes any job shorter than some ten minutes for timed out, so the task counts."""


class Unread(RuntimeError):
    """sbatch took a job whose number nobody tells. name: the job's, by which it can be found. said: by sbatch."""

    def __init__(self, name: str, said: str) -> None:
        self.name, self.said = name, " ".join(said.split())
        super().__init__(
            f"sbatch took a job and printed no number of it, but {self.said!r}. It was asked by its name to go, and "
            f"ends by itself a minute after its start, having done no run: squeue --me --name={name} shows whether it "
            f"is there, sacct --name={name} what became of it, scancel --name={name} ends it"
        )


class Executor(slurm.SlurmExecutor):
    """Reads sbatch's answer, else asks squeue for the job's name, which therefore has to be this job's alone."""

    def _get_job_id_from_submission_command(self, string: bytes | str) -> str:  # type: ignore[override]
        said = string if isinstance(string, str) else string.decode(errors="replace")
        name = str(self.parameters["job_name"])
        found = number_in(said) or _number_of(name)
        if found is None:
            raise Unread(name, said)
        return found

    def _internal_process_submissions(self, delayed_submissions: list[utils.DelayedSubmission]) -> list[Any]:
        # submitit hands an array to a new SlurmExecutor, which would read the answer in its own way
        with patch.object(slurm, "SlurmExecutor", type(self)):
            return super()._internal_process_submissions(delayed_submissions)

    def refusal(self, tasks: int) -> str:
        """Why sbatch would not take an array of so many tasks, in its words; empty where it would, by --test-only."""
        parameters = self.parameters | ({"map_count": tasks} if tasks > 1 else {})
        parameters["additional_parameters"] = parameters["additional_parameters"] | {"test_only": True}
        # in the script, which no wrapper leaves out; one that does not know it submits a job that does nothing
        text = slurm._make_sbatch_string(command="true", folder=self.folder, **parameters)
        with temporary_folder() as folder:
            script = folder / "trial.sh"
            script.write_text(text)
            answer = ask("sbatch", str(script))
        job = number_in(answer.text)
        if job and not answer.error:
            return f"it knows no trial (--test-only), and took job {job}, which does nothing: scancel {job}"
        return complaint(answer.error)


def make_executor(folder: Path, resources: Resources, code: Path, options: SlurmOptions, name: str) -> Executor:
    """The executor for a job, or an array, of that name; folder: the sweep's.

    Raises:
        SchedulerError: this host has no srun.
    """
    try:
        executor = Executor(folder.absolute() / JOBS, max_num_timeout=NO_LIMIT)
    except RuntimeError:
        raise SchedulerError("srun is not on PATH; submit from a login node of the cluster") from None
    extra = options.parameters()
    asked: dict[str, Any] = {
        "job_name": name,
        "time": resources.minutes,
        "nodes": 1,
        "ntasks_per_node": 1,
        "cpus_per_task": resources.cpus,
        "mem": f"{round(resources.memory_gb * 1024)}M",
        "signal_delay_s": options.notice_seconds(resources.minutes),
        "array_parallelism": options.parallel or PARALLEL,
        "stderr_to_stdout": True,  # one file less a task
        "setup": setup_lines(resources, code, options),
        # steps do not inherit the job's CPUs since Slurm 22.05, nor the environment where a site exports none
        "srun_args": [f"--cpus-per-task={resources.cpus}", "--export=ALL"],
        "additional_parameters": {"requeue": True, "parsable": True, **extra},
    }
    if resources.partition:
        asked["partition"] = resources.partition
    if resources.gpus and "gres" not in extra:
        asked["gpus_per_node"] = resources.gpus
    executor.update_parameters(**asked)
    return executor


def setup_lines(resources: Resources, code: Path, options: SlurmOptions) -> list[str]:
    """Shell lines before a job's own command: how threads wait, the user's, then threads, folders, and the code's copy.

    The user's own may say how threads wait; the submitting program's way is for a site that hands no environment on.
    """
    variables = {
        "OMP_NUM_THREADS": resources.cpus // resources.runs,
        "MKL_NUM_THREADS": resources.cpus // resources.runs,
        "CLEL_DATA": data_root().absolute(),
        "CLEL_CACHE": cache_root().expanduser().absolute(),
    }
    place = shlex.quote(str(code.absolute()))
    return [
        *exports(wait_settings()),
        *guarded(options.setup),
        *exports(variables),
        f"export PYTHONPATH={place}${{PYTHONPATH:+:$PYTHONPATH}}",
        f"cd {place} || exit 1",
    ]


def exports(variables: Mapping[str, object]) -> list[str]:
    """A shell line for each variable."""
    return [f"export {name}={shlex.quote(str(value))}" for name, value in variables.items()]


def guarded(setup: str) -> list[str]:
    """The user's set-up so that it ends the job, with a line that `make status` shows, where one of its commands fails.

    A command within a function or a file that it reads may fail: what these come to as a whole is what counts.
    """
    if not setup.strip():
        return []
    said = shlex.quote(" ".join(setup.split()))
    inside = "clel_status=$?; [ ${#BASH_SOURCE[@]} -gt 1 ]"
    leave = f"""printf '%s\\n' "{SETUP_FAILED} with exit status $clel_status: "{said}; exit $clel_status"""
    return [f"trap {shlex.quote(f'{inside} || {{ {leave}; }}')} ERR", setup, "trap - ERR"]


def number_in(said: str) -> str | None:
    """The job's number in what sbatch prints, with --parsable or without; None where it is not clear."""
    found = re.findall(r"Submitted batch job (\d+)", said) or re.findall(r"^\s*(\d+)(?:;\S+)?\s*$", said, re.MULTILINE)
    return found[0] if len(set(found)) == 1 else None


def cancel_named(name: str) -> None:
    """Cancel the job of a name, where there is one: an sbatch that failed, or timed out, may have submitted it."""
    ask("scancel", f"--name={name}")


def complaint(said: str) -> str:
    """What sbatch complains of, in one line."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    return " ".join(line.removeprefix("sbatch: ").removeprefix("error: ") for line in lines)


def _number_of(name: str) -> str | None:
    """The one job of a name, as squeue has it."""
    answer = ask("squeue", "--noheader", "--states=all", f"--name={name}", "--format=%F")
    found = set(answer.text.split()) if not answer.error else set()
    return found.pop() if len(found) == 1 else None
