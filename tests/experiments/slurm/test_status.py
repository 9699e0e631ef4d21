"""Where runs stand: Slurm's word and the runs' own traces joined, without Slurm; sweeps, claims and snapshots."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from clel.config import ConfigError
from clel.storage.lock import Look, locked
from experiments.slurm import attempts, evidence, scheduler
from experiments.slurm.attempts import Attempt
from experiments.slurm.evidence import Evidence, gather, judge
from experiments.slurm.snapshot import snapshot
from experiments.slurm.states import JobState
from experiments.slurm.status import sweep_status
from experiments.slurm.sweep import LatestJob, all_sweeps, choose_sweep, latest_jobs, load_sweep, new_sweep
from tests.experiments.slurm.fakes import FakeSlurm

JOB = LatestJob("7_1", "a sweep", "2026-01-01T00:00:00+00:00", cancelled=False)
CANCELLED = replace(JOB, cancelled=True)
BEATING = Look(1, None, beat=1, age=5.0)
SILENT = Look(1, None, beat=1, age=1e6)
FREE = Look(2)
STARTED = Attempt("7_1", "n1", "")
SILENT_SLURM = evidence.SILENT
FORGOTTEN, NO_ANSWER = "neither the controller nor accounting knows it", "squeue: error: timed out"


def case(
    slurm: str | None,
    *,
    job: LatestJob | None = JOB,
    tries: tuple[Attempt, ...] = (),
    lock: Look = FREE,
    status: str | None = None,
    slurms: str = "",
    age: float = 9999.0,
    since: float = 9999.0,
    finished: bool = False,
    said: str = "",
) -> Evidence:
    state = None if slurm is None or job is None else JobState(job.id, slurm, "n1", 0, slurms)
    return Evidence(
        finished, status, "its reason" if status not in (None, "ok") else "", job, state, tries, lock, age, since, said
    )


REQUEUED = replace(STARTED, how=attempts.REQUEUED)
KILLED = replace(STARTED, how=attempts.FAILED, why="its process was killed by SIGKILL")
LEFT = replace(STARTED, how=attempts.STOPPED, why="stopped by SIGTERM")
GAVE_UP = replace(STARTED, how=attempts.GAVE_UP, why="started 3 times")
OLDER = replace(KILLED, job="5_1")


@pytest.mark.parametrize(
    ("known", "state", "why"),
    [
        (case(None, job=None), "waiting", "not submitted"),
        (case(None, job=None, status="error"), "failed", "error: its reason"),
        (case(None, job=None, lock=BEATING), "running", "last heard of 5 s ago"),
        (case("RUNNING", finished=True, status="ok"), "finished", ""),
        (case("COMPLETED", finished=True, status="diverged"), "finished", "diverged"),
        (case("PENDING", slurms="Resources", tries=(OLDER,)), "pending", "Resources"),
        (case("RUNNING", lock=BEATING, tries=(STARTED,)), "running", ""),
        (
            case("RUNNING", tries=(STARTED,)),
            "running",
            "no sign of life of its process, which started 2 h 47 min ago on n1",
        ),
        (case("RUNNING", tries=(STARTED,), since=60.0), "running", "it starts"),
        (case("RUNNING", tries=(OLDER,)), "running", "its job has begun, and the run starts"),
        (case("RUNNING", tries=(STARTED, REQUEUED)), "running", "its job has begun, and the run starts"),
        (case("RUNNING", tries=(LEFT,)), "running", "its process has ended (stopped), and so will its job"),
        # cancelled through this suite, but not gone yet
        (case("RUNNING", job=CANCELLED, lock=BEATING), "running", ""),
        (case("CANCELLED", tries=(LEFT,)), "cancelled", ""),
        (case("UNKNOWN", job=CANCELLED, slurms=FORGOTTEN), "cancelled", ""),
        (case("UNKNOWN", job=CANCELLED, slurms=FORGOTTEN, lock=BEATING), "running", ""),
        (case("COMPLETED", tries=(STARTED,), lock=BEATING), "running", "last heard of"),
        (case("FAILED", tries=(KILLED,)), "failed", "SIGKILL"),
        (case("FAILED", tries=(KILLED,), status="error"), "failed", "error: its reason"),
        (case("FAILED", tries=(GAVE_UP,), status="timeout"), "timeout", "started 3 times"),
        (case("FAILED", tries=(OLDER,)), "lost", "failed (Slurm) before the run started"),
        (case("FAILED", said="no such python"), "lost", "before the run started: no such python; make logs"),
        # its job ended before its task began
        (case("FAILED", said="SETUP failed with exit status 1: x", status="timeout"), "failed", "exit status 1: x"),
        (case("UNKNOWN", slurms=FORGOTTEN, said="SETUP failed with exit status 1: x"), "failed", "exit status 1: x"),
        (case("NODE_FAIL", tries=(STARTED,)), "lost", "node fail (Slurm) on n1"),
        (case("OUT_OF_MEMORY", tries=(STARTED,), lock=SILENT), "lost", "out of memory (Slurm)"),
        (case("TIMEOUT", tries=(LEFT,)), "stopped", "SIGTERM"),
        # without accounting: the controller has forgotten it, and the run's own traces decide
        (case("UNKNOWN", slurms=FORGOTTEN, tries=(KILLED,)), "failed", "SIGKILL"),
        (case("UNKNOWN", slurms=FORGOTTEN, tries=(STARTED,)), "lost", "its job is gone on n1"),
        (case("UNKNOWN", slurms=FORGOTTEN, tries=(REQUEUED,)), "lost", "its job is gone on n1"),
        (case("UNKNOWN", slurms=FORGOTTEN, tries=(STARTED,), lock=BEATING), "running", "last heard of"),
        (case("UNKNOWN", slurms=FORGOTTEN), "lost", "never started"),
        (case("UNKNOWN", slurms=FORGOTTEN, age=60.0), "unknown", "does not say where"),
        # Slurm does not answer
        (case("UNKNOWN", job=CANCELLED, slurms=NO_ANSWER, tries=(LEFT,)), "cancelled", "Slurm does not answer"),
        (case(None, job=CANCELLED), "cancelled", "Slurm does not answer"),
        (case("CANCELLED", slurms=SILENT_SLURM, tries=(LEFT,)), "cancelled", "Slurm does not answer"),
        (case("UNKNOWN", slurms=NO_ANSWER), "unknown", "does not say where"),
        (case("UNKNOWN", slurms=NO_ANSWER, tries=(REQUEUED,)), "unknown", "was requeued"),
        (case("UNKNOWN", slurms=NO_ANSWER, tries=(LEFT,)), "unknown", "left or was requeued"),
        (case("UNKNOWN", slurms=FORGOTTEN, tries=(LEFT,)), "stopped", "SIGTERM"),
        (case(None, tries=(REQUEUED,)), "unknown", "was requeued"),
        (case(None, tries=(STARTED,), lock=BEATING), "running", "last heard of"),
        (case(None, tries=(STARTED,), lock=SILENT), "lost", "its job is gone"),
        (case("UNKNOWN", slurms=NO_ANSWER, tries=(STARTED,), since=60.0), "unknown", "has just started"),
        (case("UNKNOWN", slurms=FORGOTTEN, tries=(STARTED,), since=60.0), "lost", "its job is gone"),
    ],
)
def test_where_a_run_stands(known: Evidence, state: str, why: str) -> None:
    verdict = judge(known)
    assert verdict.state == state and why in verdict.why
    assert verdict.alive == (state in ("pending", "running", "unknown"))


def test_the_schedulers_words_for_forgotten_jobs_are_those_that_are_looked_for() -> None:
    accounted = JobState("1", "RUNNING", "n1", None, "")
    for judged in (scheduler._judged("1", None, ""), scheduler._judged("1", accounted, "")):
        assert judged.state == "UNKNOWN" and judged.reason.startswith(evidence.FORGOTTEN)
    assert not scheduler._judged("1", None, NO_ANSWER).reason.startswith(evidence.FORGOTTEN)


def test_runs_that_are_finished_or_wait_are_not_probed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evidence, "look", lambda folder: pytest.fail("probed"))
    gather(tmp_path, True, JOB, {})
    gather(tmp_path, False, JOB, {"7_1": JobState("7_1", "PENDING", "", 0, "")})
    gather(tmp_path / "none", False, None, {})


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeSlurm:
    slurm = FakeSlurm(tmp_path / "bin")
    monkeypatch.setattr("experiments.slurm.status.job_states", slurm.job_states)
    return slurm


def test_the_report_joins_slurm_and_the_runs_folders(fake: FakeSlurm, tmp_path: Path) -> None:
    sweep = new_sweep(tmp_path, "smoke", tmp_path, "make table1", {}, ["done", "going", "waits", "died"])
    sweep.jobs = {"done": ["1_0"], "going": ["1_1"], "waits": ["1_2"], "died": ["1_3"]}
    going, died = tmp_path / "runs/going", tmp_path / "runs/died"
    died.mkdir(parents=True)
    attempts.note(died, event="start", job="1_3", node="n9", time="2026-01-01T00:00:00+00:00")
    (died / "output.log").write_text("its last word\n")
    going.mkdir()
    (going / "config.json").write_text(json.dumps({"train": {"iterations": 900}}))
    lines = ({"kind": "train", "iteration": i, "seconds": i / 2} for i in (100, 200, 300))
    (going / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines) + '{"torn')
    attempts.started(going, "1_1", "n1")
    attempts.ended(going, "1_1", attempts.REQUEUED)
    attempts.started(going, "1_1", "n2")
    fake.states = {"1_1": "RUNNING", "1_2": "PENDING"}
    done = dict.fromkeys(sweep.runs, False) | {"done": True}
    with locked(going):
        text = str(sweep_status(sweep, latest_jobs([sweep]), done.__getitem__))
        fake.dead = True
        blind = sweep_status(sweep, latest_jobs([sweep]), done.__getitem__)
    rows = {line.split()[0]: line.split()[1:] for line in text.splitlines()}
    assert rows["done"][:2] == ["finished", "1_0"]
    # 600 iterations at half a second each are left
    assert rows["going"] == ["running", "1_1", "300/900", "5", "min", "00", "s", "node1", "1"]
    assert rows["waits"][:2] == ["pending", "1_2"]
    assert "lost" in rows["died"] and "its job is gone on n9" in text
    assert text.endswith("4 runs: 1 finished, 1 running, 1 pending, 1 lost")
    assert [s.verdict.state for s in blind.standings] == ["finished", "running", "unknown", "lost"]
    assert "controller is down" in blind.trouble and "from the runs' own files" in str(blind)


def test_what_slurm_said_of_a_jobs_end_outlives_its_controller(fake: FakeSlurm, tmp_path: Path) -> None:
    sweep = new_sweep(tmp_path, "smoke", tmp_path, "make table1", {}, ["stopped", "never", "failed", "waits", "again"])
    sweep.jobs = {run: [f"1_{number}"] for number, run in enumerate(sweep.runs)}
    stopped = tmp_path / "runs/stopped"
    stopped.mkdir(parents=True)
    attempts.started(stopped, "1_0", "n1")
    attempts.ended(stopped, "1_0", attempts.STOPPED, "stopped by SIGTERM")
    before = dict.fromkeys(("1_0", "1_1"), "CANCELLED") | dict.fromkeys(("1_2", "1_4"), "FAILED") | {"1_3": "PENDING"}

    def stand() -> dict[str, tuple[str, str]]:
        said = sweep_status(sweep, latest_jobs([sweep]), lambda run: False)
        return {s.run: (s.verdict.state, s.verdict.why) for s in said.standings}

    fake.states = dict(before)
    stand()
    fake.states["1_4"] = "RUNNING"  # somebody requeued it
    assert stand()["again"] == ("running", "its job has begun, and the run starts")
    for fake.dead, fake.states, silent in ((True, {}, True), (False, {}, False)):
        now = stand()
        assert [now[run][0] for run in sweep.runs] == ["cancelled", "cancelled", "lost", "unknown", "unknown"]
        assert [now[run][1] for run in ("stopped", "never")] == [evidence.SILENT if silent else ""] * 2
        assert "failed (Slurm)" in now["failed"][1]
    (sweep.folder / "states.json").write_text("{torn")
    assert stand()["never"][0] == "unknown"


def test_a_job_that_has_not_spoken_is_not_given_the_last_ones_words(fake: FakeSlurm, tmp_path: Path) -> None:
    sweep = new_sweep(tmp_path, "smoke", tmp_path, "make table1", {}, ["again"])
    sweep.jobs = {"again": ["1_0", "2_0"]}
    folder = tmp_path / "runs/again"
    folder.mkdir(parents=True)
    (folder / "output.log").write_text("the old job's last word\n")
    attempts.started(folder, "1_0", "n1")

    def text() -> str:
        return str(sweep_status(sweep, latest_jobs([sweep]), lambda run: False))

    for fake.states["2_0"] in ("PENDING", "RUNNING"):
        assert "last word" not in text()
    attempts.started(folder, "2_0", "n1")
    with locked(folder):
        assert "last word" in text()


def test_sweeps_are_kept_whole_and_the_latest_is_meant(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nothing was submitted to Slurm from here.*the same make table1 again"):
        choose_sweep(tmp_path)
    first = new_sweep(tmp_path, "quick", tmp_path, "make table1", {"seeds": 1}, ["a", "b"])
    second = new_sweep(tmp_path, "quick", tmp_path, "make table1", {}, ["a"])
    assert first.name != second.name and second.name == f"{first.name}-2"
    first.created = "2026-01-01T00:00:00+00:00"
    first.jobs, first.cancelled = {"a": ["1_0", "2_0"]}, ["2_0"]
    first.arrays = [{"job": "1", "submitted": "2026-01-01"}, {"job": "2", "submitted": "2026-01-02"}]
    first.save()
    assert load_sweep(first.folder) == first and choose_sweep(tmp_path).name == second.name
    assert choose_sweep(tmp_path, first.name) == first
    assert latest_jobs(all_sweeps(tmp_path)) == {"a": LatestJob("2_0", first.name, "2026-01-02", True)}
    second.jobs, second.arrays = {"a": ["3"]}, [{"job": "3", "submitted": "2026-01-03"}]
    assert latest_jobs([second, first])["a"].id == "3"
    with pytest.raises(ConfigError, match=f"no sweep 'quik'.*{second.name}"):
        choose_sweep(tmp_path, "quik")
    for text in ("", "{}", '{"schema": 1}', '{"schema": 9}', "[]"):
        (second.folder / "sweep.json").write_text(text)
        with pytest.raises(ConfigError, match=r"sweep\.json"):
            load_sweep(second.folder)
    assert [sweep.name for sweep in all_sweeps(tmp_path)] == [first.name]


def test_a_snapshot_is_the_code_and_says_whose(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for path, text in {
        "clel/a.py": "1",
        "clel/__pycache__/a.pyc": "",
        "experiments/x.csv": "2",
        "docs/p.md": "",
    }.items():
        (tmp_path / "root" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "root" / path).write_text(text)
    version = {"git_sha": "abc", "git_dirty": True}
    monkeypatch.setattr("experiments.slurm.snapshot.code_version", lambda: version)
    first = snapshot(tmp_path / "code", tmp_path / "root")
    held = sorted(str(p.relative_to(first)) for p in first.rglob("*") if p.is_file())
    assert held == ["clel/a.py", "code.json", "experiments/x.csv"]
    assert snapshot(tmp_path / "code", tmp_path / "root") == first
    (tmp_path / "root/clel/a.py").write_text("3")
    second = snapshot(tmp_path / "code", tmp_path / "root")
    assert second != first and (first / "clel/a.py").read_text() == "1"
    assert sorted(os.listdir(tmp_path / "code")) == sorted([first.name, second.name])
    # runs made with a copy state the version that it was copied from
    monkeypatch.setattr("clel.storage.provenance.__file__", str(first / "clel/storage/provenance.py"))
    from clel.storage.provenance import code_version

    assert code_version() == version


@pytest.mark.slow
def test_a_snapshot_runs_instead_of_what_is_installed(tmp_path: Path) -> None:
    code = snapshot(tmp_path / "code")
    program = "import clel, baselines, experiments.runs.cell as c; print(clel.__file__, baselines.__file__, c.__file__)"
    done = subprocess.run([sys.executable, "-c", program], cwd=code, capture_output=True, text=True, check=True)
    assert all(path.startswith(str(code)) for path in done.stdout.split())
