"""submitit's executor for Slurm, made to read what any site's sbatch answers, and a trial of what it would submit."""

from __future__ import annotations

import re
from typing import Any
from unittest.mock import patch

from submitit.core import utils
from submitit.slurm import slurm

from clel.storage.atomic import temporary_folder
from experiments.slurm.clients import ask


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
        return words(answer.error)


def number_in(said: str) -> str | None:
    """The job's number in what sbatch prints, with --parsable or without; None where it is not clear."""
    found = re.findall(r"Submitted batch job (\d+)", said) or re.findall(r"^\s*(\d+)(?:;\S+)?\s*$", said, re.MULTILINE)
    return found[0] if len(set(found)) == 1 else None


def cancel_named(name: str) -> None:
    """Cancel the job of a name, where there is one: an sbatch that failed, or timed out, may have submitted it."""
    ask("scancel", f"--name={name}")


def words(said: str) -> str:
    """What sbatch complains of, in one line."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    return " ".join(line.removeprefix("sbatch: ").removeprefix("error: ") for line in lines)


def _number_of(name: str) -> str | None:
    """The one job of a name, as squeue has it."""
    answer = ask("squeue", "--noheader", "--states=all", f"--name={name}", "--format=%F")
    found = set(answer.text.split()) if not answer.error else set()
    return found.pop() if len(found) == 1 else None
