"""Whatever befalls a sweep's runs: after `resume` each is finished once, with the numbers of an undisturbed one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.slurm import sweeps
from tests.slurm.sweeps import ROOT, Tree

KILLED, CANCELLED, REQUEUED = "clel-digits-s0", "clel-digits-s1", "plain-digits-s0"
RAISES, FULL, RESTARTED = "plain-digits-s1", "igebm-digits-s0", "igebm-digits-s1"
SEVERAL = 5
"""Iterations after which something happens: beyond a checkpoint at 4, before the next at 8."""


@dataclass
class Story:
    """What was seen of the sweep that things happened to, and of the one whose time limit was too short."""

    out: Path
    limited: Path
    happened: dict[str, str] = field(default_factory=dict)
    status_before: str = ""
    status_without_controller: str = ""
    table_before: list[list[str]] = field(default_factory=list)
    full_disk: bool = True


@pytest.fixture(scope="module")
def story(slurm: Path, tree: Tree, undisturbed: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    place = tmp_path_factory.mktemp("chaos")
    told = Story(place / "out", place / "limited")
    runs = {name: told.out / "runs" / path.name for name, path in sweeps.folders(undisturbed).items()}
    (runs[RAISES] / "log.jsonl").mkdir(parents=True)
    runs[FULL].mkdir(parents=True)
    mount = ["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(runs[FULL])]
    told.full_disk = subprocess.run(mount, capture_output=True, check=False).returncode == 0
    try:
        tell(told, slurm, tree, runs)
        yield told
    finally:
        if told.full_disk:
            subprocess.run(["umount", "--lazy", str(runs[FULL])], check=False)


def tell(told: Story, slurm: Path, tree: Tree, runs: dict[str, Path]) -> None:
    """Submit, let things happen, wait for the ends, put right what a person would, resume, wait."""
    tree.run(*tree.table(told.out, "--cluster", "slurm", "--slurm.setup", "export PAUSE=3"))
    job = {run.rpartition("-")[0]: ids[-1] for run, ids in sweeps.sweep(told.out)["jobs"].items()}

    def killed() -> str:
        pid = sweeps.training_process(runs[KILLED])
        os.kill(pid or 0, signal.SIGKILL)
        return f"process {pid}"

    happenings: dict[str, Callable[[], str]] = {
        KILLED: killed,
        CANCELLED: lambda: client("scancel", job[CANCELLED]),
        REQUEUED: lambda: client("scontrol", "requeue", job[REQUEUED]),
    }
    if told.full_disk:
        happenings[FULL] = lambda: fill(runs[FULL])
    end = time.monotonic() + 200
    while happenings:
        assert time.monotonic() < end, f"runs that never got so far: {list(happenings)}"
        for run in [run for run in happenings if sweeps.iteration(runs[run]) >= SEVERAL]:
            told.happened[run] = happenings.pop(run)()
        time.sleep(0.2)
    # what ends while the controller is away is a minute late; that is for the run that nothing else befalls
    ended = [job[run] for run in told.happened if run != REQUEUED]
    sweeps.wait(lambda: not sweeps.queue(ended), "the others at an end")
    tree.run("status", "--out", told.out)  # what is known now is not forgotten
    client("scontrol", "shutdown", "slurmctld")
    told.status_without_controller = tree.run("status", "--out", told.out)
    up = [sys.executable, str(ROOT / "scripts" / "slurm-local"), "up", "--dir", str(slurm)]
    subprocess.run(up, check=True, capture_output=True, stdin=subprocess.DEVNULL, timeout=120)
    # of 12 iterations that take 96 s in all the first job does some 8: Slurm gives notice 30 to 60 s before its limit
    limit = ["--slurm.setup", "export PAUSE=8", "--slurm.limit-minutes", 2]
    tree.run(*tree.table(told.limited, "--cluster", "slurm", *limit, methods="plain", seeds=1))
    sweeps.wait_for_jobs(told.out)
    told.status_before = tree.run("status", "--out", told.out)
    told.table_before = sweeps.table(told.out)
    (runs[RAISES] / "log.jsonl").rmdir()
    (runs[FULL] / "filler").unlink(missing_ok=True)
    tree.run("resume", "--out", told.out, "--slurm.setup", "export PAUSE=0")
    sweeps.wait_for_jobs(told.out)
    sweeps.wait_for_jobs(told.limited)


def client(*command: str) -> str:
    subprocess.run(command, check=True, capture_output=True, stdin=subprocess.DEVNULL, timeout=60)
    return " ".join(command)


def fill(folder: Path) -> str:
    with open(folder / "filler", "wb", buffering=0) as file:
        try:
            while True:
                file.write(b"\0" * 65536)
        except OSError as error:
            return str(error)


def line(report: str, run: str) -> str:
    (found,) = [line for line in report.splitlines() if line.startswith(run)]
    return found


@pytest.mark.parametrize(
    ("run", "state"),
    [(KILLED, "failed"), (CANCELLED, "cancelled"), (REQUEUED, "finished"), (RAISES, "failed"), (RESTARTED, "finished")],
)
def test_status_says_what_became_of_each(story: Story, run: str, state: str) -> None:
    assert line(story.status_before, run).split()[1] == state


def test_a_full_disk_fails_the_run_on_it_alone(story: Story) -> None:
    if not story.full_disk:
        pytest.skip("this user may not mount a tmpfs")
    assert "No space left" in story.happened[FULL]
    assert line(story.status_before, FULL).split()[1] == "failed"


def test_the_table_is_made_when_the_array_ends_whatever_its_runs_came_to(story: Story, undisturbed: Path) -> None:
    # every row is there, and those of failed runs say so
    assert [row[0] for row in story.table_before] == [row[0] for row in sweeps.table(undisturbed)]
    assert story.table_before != sweeps.table(undisturbed)


def test_status_without_a_controller_says_so_and_tells_of_the_runs_all_the_same(story: Story) -> None:
    assert "Unable to contact" in story.status_without_controller
    assert line(story.status_without_controller, RESTARTED).split()[1] in ("running", "finished")
    cancelled = line(story.status_without_controller, CANCELLED)
    assert cancelled.split()[1] == "cancelled" and "Slurm does not answer" in cancelled


def test_each_run_is_finished_once_with_the_numbers_of_an_undisturbed_one(story: Story, undisturbed: Path) -> None:
    sweeps.assert_same(story.out, undisturbed)
    # what was well was not submitted again
    jobs = {run.rpartition("-")[0]: ids for run, ids in sweeps.sweep(story.out)["jobs"].items()}
    assert {run for run, ids in jobs.items() if len(ids) > 1} == {KILLED, CANCELLED, RAISES} | (
        {FULL} if story.full_disk else set()
    )


def test_the_killed_run_went_on_from_its_checkpoint(story: Story) -> None:
    text = (sweeps.folders(story.out)[KILLED] / "output.log").read_text()
    assert "SIGKILL" not in text.splitlines()[-1]
    starts = [at for at in sweeps.attempts(sweeps.folders(story.out)[KILLED]) if at["event"] == "start"]
    assert len(starts) == 2


def test_a_time_limit_shorter_than_the_run_requeues_it_until_it_is_done(story: Story, undisturbed: Path) -> None:
    name = "plain-digits-s0"
    limited, whole = sweeps.folders(story.limited)[name], sweeps.folders(undisturbed)[name]
    hows = [at["how"] for at in sweeps.attempts(limited) if at["event"] == "end"]
    assert hows.count("requeued") >= 1 and hows[-1] == "finished", hows
    assert sweeps.outcome(limited) == sweeps.outcome(whole)
    (ids,) = {tuple(v) for run, v in sweeps.sweep(story.limited)["jobs"].items() if run.startswith(name)}
    assert len(ids) == 1
