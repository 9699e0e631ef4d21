"""The scheduler's questions put to a real Slurm: what the recorded answers cannot show is that they are still true."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable

import pytest

from experiments.slurm.scheduler import (
    SchedulerError,
    cancel_jobs,
    check_partition,
    job_states,
    max_array_size,
    require_slurm,
)


def sbatch(*arguments: str) -> str:
    command = ["sbatch", "--parsable", "--output=/dev/null", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True, stdin=subprocess.DEVNULL).stdout.strip()


def until(true: Callable[[], bool], seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not come true in time"
        time.sleep(0.2)


def state(job: str) -> str:
    return job_states([job])[job].state


def test_a_job_is_followed_from_start_to_end() -> None:
    require_slurm()
    good, bad = sbatch("--wrap=true"), sbatch("--wrap=exit 3")
    until(lambda: {good: state(good), bad: state(bad)} == {good: "COMPLETED", bad: "FAILED"})
    assert job_states(["1"])["1"].state == "UNKNOWN"


def test_an_array_is_followed_task_by_task() -> None:
    array = sbatch("--requeue", "--array=0-4%1", "--wrap=exec sleep 100")
    ids = [f"{array}_{number}" for number in range(5)]
    until(lambda: state(ids[0]) == "RUNNING")
    states = job_states(ids)
    assert [states[one].state for one in ids] == ["RUNNING", *["PENDING"] * 4]
    assert states[ids[0]].node and states[ids[0]].restarts == 0
    subprocess.run(["scontrol", "requeue", ids[0]], check=True)
    until(lambda: job_states(ids)[ids[0]].restarts == 1)
    cancel_jobs(ids)
    until(lambda: not {state.state for state in job_states(ids).values()} & {"PENDING", "RUNNING"})
    cancel_jobs(ids)  # once more changes nothing


def test_what_the_node_cannot_take_is_refused() -> None:
    job = {"gpus": 0, "cpus": 1, "memory_gb": 0.1, "minutes": 10}
    check_partition(None, **job)
    check_partition("local", **job)
    for change in ({"gpus": 99}, {"cpus": 9999}, {"memory_gb": 1e6}):
        with pytest.raises(SchedulerError, match="local has no node with"):
            check_partition("local", **{**job, **change})
    with pytest.raises(SchedulerError, match="no partition nope here; there are local"):
        check_partition("nope", **job)
    assert max_array_size() > 1
