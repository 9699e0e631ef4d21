"""Stand-ins for Slurm: clients on PATH that note how they were called, and states of a test's choice."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from experiments.slurm.clients import SchedulerError
from experiments.slurm.states import JobState

SBATCH = """
if grep -q '^#SBATCH --gres=wrong' "$1"; then echo "sbatch: error: Invalid generic resource (gres)" >&2; exit 1; fi
if grep -q '^#SBATCH --test-only' "$1"; then echo "sbatch: Job 9 to start at 12:00 on nodes n1" >&2; exit 0; fi
n=$(cat {folder}/number 2>/dev/null || echo 100)
n=$((n + 1))
echo $n > {folder}/number
cp "$1" {folder}/$n.sh
if [ -e {folder}/refuse-$n ]; then echo "sbatch: error: $(cat {folder}/refuse-$n)" >&2; exit 1; fi
sed "s/NUMBER/$n/" {folder}/answer
"""


@dataclass
class FakeSlurm:
    """The first job has the number 101."""

    folder: Path
    states: dict[str, str] = field(default_factory=dict)
    cancelled: list[str] = field(default_factory=list)
    dead: bool = False
    unknown: str = "neither the controller nor accounting knows it"
    answer: str = "Submitted batch job NUMBER"

    def __post_init__(self) -> None:
        self.folder.mkdir()
        self.put("sbatch", SBATCH.format(folder=self.folder).splitlines())
        self.put("srun", [])
        self.answers(self.answer)

    def put(self, client: str, lines: Sequence[str]) -> None:
        """A shell script on PATH."""
        (self.folder / client).write_text("\n".join(["#!/bin/sh", *lines, ""]))
        (self.folder / client).chmod(0o755)

    def answers(self, text: str) -> None:
        """What sbatch prints of a job that it took."""
        (self.folder / "answer").write_text(f"{text}\n")

    def job_states(self, ids: Sequence[str]) -> dict[str, JobState]:
        self._answer()
        return {job: self._state(job) for job in ids}

    def cancel(self, ids: Sequence[str]) -> None:
        self._answer()
        self.cancelled += ids

    def scripts(self) -> dict[int, str]:
        return {int(path.stem): path.read_text() for path in sorted(self.folder.glob("*.sh"))}

    def refuse(self, number: int, words: str) -> None:
        (self.folder / f"refuse-{number}").write_text(words)

    def forget(self) -> None:
        """Start anew, as with another controller."""
        shutil.rmtree(self.folder)
        self.__post_init__()

    def _answer(self) -> None:
        if self.dead:
            raise SchedulerError("Slurm does not answer: the controller is down")

    def _state(self, job: str) -> JobState:
        state = self.states.get(job, self.states.get(job.partition("_")[0], "UNKNOWN"))
        return JobState(
            job, state, "node1" if state == "RUNNING" else "", 0, self.unknown if state == "UNKNOWN" else ""
        )
