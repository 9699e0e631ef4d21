"""States, cancelling and refusals from what Slurm's clients printed on a real cluster; fakes repeat it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from experiments.slurm import clients
from experiments.slurm.scheduler import (
    JobState,
    SchedulerError,
    cancel_jobs,
    check_partition,
    job_states,
    max_array_size,
    require_slurm,
)
from experiments.slurm.states import canonical, tasks

RECORDED = Path(__file__).parent / "outputs"
DEAD = "slurm_load_jobs error: Unable to contact slurm controller (connect failure)"
FORGOTTEN = "slurm_load_jobs error: Invalid job id specified"
NO_ACCOUNTING = "Slurm accounting storage is disabled"
SINFO = """\
short*|up|4:00:00|32|128000|(null)|10
gpu|up|2-00:00:00|64|512000|gpu:a100:4(S:0-1)|6
gpu|up|2-00:00:00|16|1024000|gpu:2|1
old|inact|infinite|8|16000|gpu:1|2
"""
Fake = Callable[..., None]


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fake:
    """Puts a client on an otherwise empty PATH that prints what it is told and notes what it was asked."""
    monkeypatch.setenv("PATH", str(tmp_path))

    def put(name: str, text: str = "", error: str = "", status: int | None = None, seconds: float = 0) -> None:
        (tmp_path / f"{name}.out").write_text(text)
        (tmp_path / f"{name}.err").write_text(f"{error}\n" if error else "")
        lines = [
            f'echo "{name} $*" >> {tmp_path}/calls',
            f"exec </dev/null; /bin/sleep {seconds}" if seconds else ":",
            f"/bin/cat {tmp_path}/{name}.out",
            f"/bin/cat {tmp_path}/{name}.err >&2",
            f"exit {int(bool(error)) if status is None else status}",
        ]
        (tmp_path / name).write_text("#!/bin/sh\n" + "\n".join(lines) + "\n")
        (tmp_path / name).chmod(0o755)

    return put


def recorded(name: str) -> str:
    return (RECORDED / f"{name}.txt").read_text()


def calls() -> list[str]:
    path = Path(os.environ["PATH"]) / "calls"
    return path.read_text().splitlines() if path.exists() else []


def short(states: dict[str, JobState]) -> dict[str, str]:
    return {one: state.state for one, state in states.items()}


def array(*numbers: int) -> list[str]:
    return [f"123_{number}" for number in numbers]


def test_squeue_alone_tells_of_waiting_requeued_running_and_ended_jobs(fake: Fake) -> None:
    fake("squeue", recorded("squeue"))
    states = job_states([*array(*range(10)), "140", "120", "110"])
    assert states["123_0"] == JobState("123_0", "PENDING", "", 1, "JobArrayTaskLimit")
    assert states["123_1"] == JobState("123_1", "CANCELLED", "node01", 0, "")
    assert states["123_3"] == JobState("123_3", "RUNNING", "node01", 0, "")
    assert short({one: states[one] for one in array(4, 9)}) == {"123_4": "PENDING", "123_9": "PENDING"}
    assert short({one: states[one] for one in ("140", "120", "110")}) == {
        "140": "PENDING",
        "120": "FAILED",
        "110": "TIMEOUT",
    }
    # cancelled while it waited: no client has a word about it
    assert states["123_7"].state == "UNKNOWN" and "sacct is not on PATH" not in states["123_7"].reason


def test_an_array_is_one_question(fake: Fake) -> None:
    fake("squeue", recorded("squeue"))
    job_states([*array(0, 1, 2, 3), "120", "120"])
    asked = [call for call in calls() if "--jobs=" in call]
    assert len(asked) == 1 and "--jobs=123,120 " in asked[0] and "--states=all" in asked[0]


def test_the_users_own_formats_do_not_reach_the_clients(fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SQUEUE_USERS", "somebody")
    fake("squeue", recorded("squeue"))
    script = Path(os.environ["PATH"]) / "squeue"
    script.write_text(script.read_text().replace("exit 0", '[ -z "$SQUEUE_USERS$SQUEUE_FORMAT" ] || exit 1'))
    assert job_states(array(2))["123_2"].state == "RUNNING"


@pytest.mark.parametrize("error", [NO_ACCOUNTING, "sacct: error: Problem talking to the database: Connection refused"])
def test_failing_accounting_leaves_forgotten_jobs_unknown(fake: Fake, error: str) -> None:
    fake("squeue", error=FORGOTTEN)
    fake("sacct", error=error)
    assert short(job_states(["99"])) == {"99": "UNKNOWN"}


def test_accounting_tells_of_what_the_controller_has_forgotten(fake: Fake) -> None:
    fake("squeue", error=FORGOTTEN)
    fake("sacct", recorded("sacct"))
    states = job_states([*array(0, 2, 5, 7, 9), "120", "110", "140"])
    assert short(states) == {
        **dict.fromkeys(["123_0", "123_2", "123_5", "123_9", "140"], "CANCELLED"),
        "123_7": "UNKNOWN",
        "120": "FAILED",
        "110": "TIMEOUT",
    }
    assert states["123_2"].node == "node01" and states["123_9"].node == "" and states["120"].restarts is None


def test_late_accounting_does_not_keep_a_gone_job_alive(fake: Fake) -> None:
    fake("squeue", error=FORGOTTEN)
    fake("sacct", recorded("sacct_late"))
    states = job_states([*array(1, 2, 5), "140"])
    assert short(states) == {"123_1": "CANCELLED", "123_2": "UNKNOWN", "123_5": "UNKNOWN", "140": "UNKNOWN"}
    assert "RUNNING" in states["123_2"].reason


def test_with_a_dead_controller_accounting_is_believed(fake: Fake) -> None:
    fake("squeue", error=DEAD)
    fake("scontrol", error=DEAD)
    fake("sacct", recorded("sacct_late"))
    assert short(job_states([*array(2, 5, 7)])) == {"123_2": "RUNNING", "123_5": "PENDING", "123_7": "UNKNOWN"}
    assert not any(call.startswith("scontrol") for call in calls())  # another ten seconds for the same answer


def test_scontrol_stands_in_for_a_squeue_that_fails(fake: Fake) -> None:
    fake("squeue", error="squeue: error: Invalid job format specification: RestartCnt")
    fake("scontrol", recorded("scontrol"))
    states = job_states([*array(0, 2, 4, 5, 7, 9), "120", "140"])
    assert states["123_0"] == JobState("123_0", "PENDING", "", 1, "JobArrayTaskLimit")
    assert states["123_2"] == JobState("123_2", "RUNNING", "node01", 0, "")
    assert [states[one].state for one in array(4, 5, 7, 9)] == ["PENDING", "PENDING", "UNKNOWN", "PENDING"]
    assert (states["120"].state, states["140"].reason) == ("FAILED", "Dependency")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (DEAD, "Unable to contact"),
        (None, "there is no Slurm on this machine: .*squeue is not on PATH"),
        ("squeue: fatal: Could not establish a configuration source", "there is no Slurm on this machine: "),
    ],
)
def test_where_nobody_answers_it_says_so(fake: Fake, words: str | None, said: str) -> None:
    for name in ("squeue", "scontrol", "sacct") if words else ():
        fake(name, error=words)
    with pytest.raises(SchedulerError, match=said) as error:
        job_states(["123_0"])
    assert ("Try again later" in str(error.value)) == (words == DEAD)


def test_a_silent_client_costs_its_time_limit_and_no_more(fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clients, "SECONDS", 0.3)
    fake("squeue", recorded("squeue"), seconds=20)
    fake("sacct", recorded("sacct"))
    started = time.monotonic()
    assert job_states(["120"])["120"].state == "FAILED"
    assert time.monotonic() - started < 5


@pytest.mark.parametrize(
    ("state", "counted"),
    [
        ("CANCELLED by 1000", "CANCELLED"),
        ("COMPLETING", "RUNNING"),
        ("CONFIGURING", "RUNNING"),
        ("STAGE_OUT", "RUNNING"),
        ("REQUEUED", "PENDING"),
        ("REQUEUE_HOLD", "PENDING"),
        ("SPECIAL_EXIT", "PENDING"),
        ("BOOT_FAIL", "NODE_FAIL"),
        ("DEADLINE", "TIMEOUT"),
        ("OUT_OF_MEMORY", "OUT_OF_MEMORY"),
        ("SOMETHING_NEW", "UNKNOWN"),
        ("", "UNKNOWN"),
    ],
)
def test_states_of_slurm_are_counted_under_ours(state: str, counted: str) -> None:
    assert canonical(state) == counted


@pytest.mark.parametrize(
    ("job", "meant"),
    [
        ("7", ["7"]),
        ("7_3", ["7_3"]),
        ("7_[4-6%2]", ["7_4", "7_5", "7_6"]),
        ("7_[0,4-8:2]", ["7_0", "7_4", "7_6", "7_8"]),
    ],
)
def test_compressed_ranges_are_written_out(job: str, meant: list[str]) -> None:
    assert list(tasks(job)) == meant


def test_cancelling_passes_over_jobs_that_are_gone(fake: Fake) -> None:
    fake("scancel", error="scancel: error: Kill job error on job id 99: Invalid job id specified")
    cancel_jobs(["123_4", "99"])
    cancel_jobs([])
    assert calls() == ["scancel 123_4 99"]
    fake("scancel", error="scancel: error: Kill job error on job id 1: Unable to contact slurm controller")
    with pytest.raises(SchedulerError, match="not all cancelled"):
        cancel_jobs(["1"])


def test_array_size(fake: Fake) -> None:
    fake("scontrol", "MailProg                = /usr/bin/mail\nMaxArraySize            = 1001\nMaxJobCount = 10000\n")
    assert max_array_size() == 1001
    fake("scontrol", "MaxArraySize            = 0\n")
    with pytest.raises(SchedulerError, match="switched off"):
        max_array_size()
    fake("scontrol", error=DEAD)
    with pytest.raises(SchedulerError, match="Unable to contact"):
        max_array_size()


@pytest.mark.parametrize(
    ("partition", "asked", "refusal"),
    [
        ("fast", {}, "no partition fast here; there are short, gpu, old"),
        ("old", {}, "old takes no jobs now"),
        (None, {"gpus": 1}, "short has no node with 1 GPU[.]"),
        ("gpu", {"gpus": 5}, "gpu has no node with 5 GPUs"),
        ("gpu", {"cpus": 65}, "no node with 65 CPUs"),
        ("gpu", {"memory_gb": 1001}, "no node with 1001 GB of memory"),
        ("gpu", {"minutes": 2881}, "at most 2880 minutes, 2881 are asked"),
        ("gpu", {"gpus": 4, "memory_gb": 900}, "4 GPUs, 1 CPU and 900 GB at once"),
        ("short,fast", {}, "no partition fast"),
    ],
)
def test_what_no_node_could_run_is_refused(fake: Fake, partition: str | None, asked: dict, refusal: str) -> None:
    fake("sinfo", SINFO)
    with pytest.raises(SchedulerError, match=refusal):
        check_partition(partition, **{"gpus": 0, "cpus": 1, "memory_gb": 1, "minutes": 10, **asked})


def test_what_some_node_can_run_is_not_refused(fake: Fake) -> None:
    fake("sinfo", SINFO)
    check_partition(None, gpus=0, cpus=32, memory_gb=125, minutes=240)
    check_partition("gpu", gpus=4, cpus=64, memory_gb=500, minutes=2880)
    check_partition("short,gpu", gpus=2, cpus=1, memory_gb=1000, minutes=300)
    fake("sinfo", "local*|up|infinite|4|24105|(null)|1\n")
    check_partition("local", gpus=0, cpus=4, memory_gb=1, minutes=10_000_000)
    fake("sinfo", SINFO.replace("short*", "short"))
    with pytest.raises(SchedulerError, match="no default partition; give PARTITION, one of short, gpu, old"):
        check_partition(None, gpus=0, cpus=1, memory_gb=1, minutes=1)
    fake("sinfo", error="slurm_load_partitions: Unable to contact slurm controller (connect failure)")
    with pytest.raises(SchedulerError, match="Unable to contact"):
        check_partition("gpu", gpus=0, cpus=1, memory_gb=1, minutes=1)


def test_a_machine_without_slurm_and_a_dead_controller_are_named(fake: Fake) -> None:
    with pytest.raises(SchedulerError, match=r"no sbatch on PATH.*CLUSTER=local"):
        require_slurm()
    fake("sbatch")
    fake("scontrol", "Slurmctld(primary) at head is DOWN\n*** RESTORE SLURMCTLD DAEMON TO SERVICE ***\n", status=1)
    with pytest.raises(SchedulerError, match="head is DOWN"):
        require_slurm()
    fake("scontrol", "Slurmctld(primary) at head is DOWN\nSlurmctld(backup) at other is UP\n")
    require_slurm()
