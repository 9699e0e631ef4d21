"""Submitting a table with stand-ins for Slurm's clients: all or nothing, no run twice, and what is asked of sbatch."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from clel.config import ConfigError
from clel.data import DataError
from clel.runs.config import load_config
from clel.storage.lock import locked
from experiments.commands import again, sweeps
from experiments.slurm import launch, preflight, submit
from experiments.slurm.clients import SchedulerError
from experiments.slurm.executor import guarded
from experiments.slurm.sweep import Sweep, choose_sweep
from experiments.slurm.task import Task
from experiments.sweep.slurm_options import SlurmOptions
from experiments.table1 import command as table1
from tests.experiments.slurm.fakes import FakeSlurm

Launch = Callable[..., Sweep | None]
ROWS = "igebm,plain,clel"
"""With the two references, five runs a seed."""


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeSlurm:
    fake = FakeSlurm(tmp_path / "bin")
    monkeypatch.setenv("PATH", f"{fake.folder}:{os.environ['PATH']}")
    monkeypatch.setenv("CLEL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(launch, "check_slurm", lambda wanted: list(wanted))
    monkeypatch.setattr(launch, "max_array_size", lambda: 2)
    for module in (launch, again, sweeps, submit):
        for name in ("job_states", "cancel_jobs"):
            if hasattr(module, name):
                monkeypatch.setattr(module, name, getattr(fake, name.removesuffix("_jobs")))
    monkeypatch.setattr("experiments.slurm.status.job_states", fake.job_states)
    return fake


@pytest.fixture
def start(tmp_path: Path) -> Launch:
    def run(methods: str = ROWS, **slurm: object) -> Sweep | None:
        options = table1.Table1("smoke", methods=methods, out=tmp_path / "out", slurm=SlurmOptions(**slurm))
        return launch.launch(table1.launched(options, table1.cells_of(options)))

    return run


def test_a_table_becomes_arrays_and_a_job_that_collects(slurm: FakeSlurm, start: Launch, tmp_path: Path) -> None:
    sweep = start(
        partition="gpu", limit_minutes=9, cpus=2, setup="module load x; true", parallel=1, sbatch="account=me"
    )
    assert sweep is not None
    assert [(a["job"], a["runs"]) for a in sweep.arrays] == [("101", 2), ("102", 2), ("103", 1)]
    assert sweep.collect == ["104"] and len(sweep.jobs) == 5
    # an array of one is a plain job
    assert sorted(job for jobs in sweep.jobs.values() for job in jobs) == ["101_0", "101_1", "102_0", "102_1", "103"]
    script = slurm.scripts()[101]
    for line in (
        "array=0-1%1",
        "partition=gpu",
        "time=9",
        "cpus-per-task=2",
        "account=me",
        "requeue",
        "signal=USR2@135",
    ):
        assert f"#SBATCH --{line}\n" in script
    lines = script.splitlines()
    setup = lines.index("module load x; true")
    assert lines[setup - 1].startswith("trap ") and lines[setup + 1] == "trap - ERR"
    assert setup < lines.index("export OMP_NUM_THREADS=2")
    (code,) = (sweep.folder / "code").iterdir()
    assert f"cd {code} || exit 1" in lines and (code / "experiments/runs/cell.py").exists()
    assert "--cpus-per-task=2 --export=ALL" in lines[-1]
    assert f"export CLEL_CACHE={tmp_path / 'cache'}" in lines
    assert "#SBATCH --dependency=afterany:101:102:103" in slurm.scripts()[104]
    assert choose_sweep(tmp_path / "out") == sweep
    for run, (job,) in sweep.jobs.items():
        # what a job will find: a plain reference to a class of the code, and a folder with a configuration
        from submitit.core.utils import DelayedSubmission

        path = sweep.folder / "jobs" / f"{job}_submitted.pkl"
        task = DelayedSubmission.load(path).function
        assert isinstance(task, Task) and b"__main__" not in path.read_bytes()
        assert Path(task.folder) == tmp_path / "out/runs" / run and (Path(task.folder) / "config.json").exists()


def test_nothing_is_left_where_a_later_array_is_refused(slurm: FakeSlurm, start: Launch, tmp_path: Path) -> None:
    slurm.refuse(102, "QOSMaxSubmitJobPerUserLimit")
    with pytest.raises(SchedulerError, match=r"refused the jobs: QOSMax.*Jobs 101, submitted before, were cancelled"):
        start()
    assert slurm.cancelled == ["101"]
    slurm.states["101"] = "CANCELLED"
    again_ = start()
    assert again_ is not None and len(again_.jobs) == 5


def test_a_refused_first_array_leaves_no_sweep(slurm: FakeSlurm, start: Launch, tmp_path: Path) -> None:
    # a controller that is slow to answer may have taken it all the same
    slurm.put("scancel", [f'echo "$@" >> {slurm.folder}/scancelled'])
    slurm.refuse(101, "invalid account")
    with pytest.raises(SchedulerError, match=r"invalid account\. Nothing was submitted"):
        start()
    assert [p.name for p in (tmp_path / "out/sweeps").glob("*")] == [".lock.1.free"] and not slurm.cancelled
    (name,) = re.findall(r"--job-name=(\S+)", slurm.scripts()[101])
    assert (slurm.folder / "scancelled").read_text() == f"--name={name}\n"


@pytest.mark.parametrize("answer", ["NUMBER", "NUMBER;cluster", "welcome\nNUMBER", "Submitted batch job NUMBER on x"])
def test_a_job_has_the_number_that_sbatch_prints_in_any_form(answer: str, slurm: FakeSlurm, start: Launch) -> None:
    slurm.answers(answer)
    sweep = start()
    assert sweep is not None and "#SBATCH --parsable\n" in slurm.scripts()[101]
    assert {"101_0", "103"} < {job for jobs in sweep.jobs.values() for job in jobs} and sweep.collect == ["104"]


def test_a_job_whose_number_sbatch_keeps_is_looked_up_by_its_name(slurm: FakeSlurm, start: Launch) -> None:
    slurm.answers("thank you")
    # the last job of that name, as each has a name of its own
    lines = ["for a; do case $a in --name=*) name=${a#--name=};; esac; done"]
    lines += [f'basename -s .sh $(grep -l -- "--job-name=$name$" {slurm.folder}/*.sh)']
    slurm.put("squeue", lines)
    sweep = start()
    assert sweep is not None and [a["job"] for a in sweep.arrays] == ["101", "102", "103"] and sweep.collect == ["104"]


def test_a_job_that_nobody_tells_the_number_of_is_not_passed_over(
    slurm: FakeSlurm, start: Launch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    slurm.answers("your job was\nadmitted to queue 7")
    slurm.put("scancel", [f'echo "$@" > {slurm.folder}/scancelled'])
    with pytest.raises(SchedulerError) as raised:
        start()
    (array,) = (sweep := choose_sweep(tmp_path / "out")).arrays
    name, said = array["name"], "your job was admitted to queue 7"
    assert array["job"] == "" and array["said"] == said and f"--job-name={name}\n" in slurm.scripts()[101]
    assert not sweep.jobs and (slurm.folder / "scancelled").read_text() == f"--name={name}\n"
    message = str(raised.value)
    assert f"sbatch took a job and printed no number of it, but {said!r}" in message and "Nothing else was" in message
    assert all(f"{client} --name={name}" in message.replace("--me ", "") for client in ("squeue", "sacct", "scancel"))
    sweeps.status(sweeps.Status(out=tmp_path / "out"))
    assert said in (shown := capsys.readouterr().out) and f"squeue --me --name={name}" in shown
    # the runs may be submitted again, each job under a name that no job had
    slurm.answers("NUMBER")
    again.resume(again.Resume(out=tmp_path / "out"))
    assert f"--job-name={name}\n" not in "".join(slurm.scripts()[n] for n in (102, 103, 104, 105))
    assert len(choose_sweep(tmp_path / "out").jobs) == 5


def test_a_table_is_worth_its_runs_without_the_job_that_collects(
    slurm: FakeSlurm, start: Launch, capsys: pytest.CaptureFixture[str]
) -> None:
    slurm.refuse(104, "no dependencies here")
    sweep = start()
    assert sweep is not None and not sweep.collect and not slurm.cancelled
    assert "make the table by make report" in capsys.readouterr().err


def test_submitting_twice_submits_nothing(slurm: FakeSlurm, start: Launch, capsys: pytest.CaptureFixture[str]) -> None:
    slurm.states |= {"101": "RUNNING", "102": "PENDING", "103": "PENDING"}
    start()
    assert start() is None
    assert "already submitted as job 102_0 (pending)" in capsys.readouterr().err
    slurm.states["103"] = "COMPLETED"  # without a result
    second = start("clel,igebm,plain")
    assert second is not None and [job for jobs in second.jobs.values() for job in jobs] == ["105"]
    assert "afterany:105:102:101" in slurm.scripts()[106]


def test_a_job_that_slurm_does_not_know_counts_as_there_unless_forced(
    slurm: FakeSlurm, start: Launch, capsys: pytest.CaptureFixture[str]
) -> None:
    start()
    assert start() is None
    assert "unknown: its job has not started, and Slurm does not say where it is; FORCE=1" in capsys.readouterr().err
    assert start(force=True) is not None


def test_a_run_at_work_elsewhere_is_left_alone(
    slurm: FakeSlurm, start: Launch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = table1.Table1("smoke", methods=ROWS, out=tmp_path / "out")
    name = table1.cells_of(options)[-1].run_name
    with locked(tmp_path / "out/runs" / name):
        sweep = start()
    assert sweep is not None and name in sweep.runs and name not in sweep.jobs
    assert f"{name}: at work already, by process {os.getpid()}" in capsys.readouterr().err


def test_an_unreachable_controller_stops_it_before_anything_is_submitted(slurm: FakeSlurm, start: Launch) -> None:
    start()
    slurm.dead = True
    with pytest.raises(SchedulerError, match="does not answer"):
        start()
    assert max(slurm.scripts()) == 104


def test_a_run_that_was_given_a_gpu_must_not_train_without(slurm: FakeSlurm, start: Launch, tmp_path: Path) -> None:
    sweep = start("plain", gpus=1, limit_minutes=10)
    assert sweep is not None and "#SBATCH --gpus-per-node=1" in slurm.scripts()[101]
    from baselines import METHODS

    (run,) = (r for r in sweep.runs if r.startswith("plain"))
    assert load_config(sweep.run_folders / run, METHODS).device == "cuda"
    options = table1.Table1("smoke", methods=ROWS, device="cpu", out=tmp_path / "other", slurm=SlurmOptions(gpus=1))
    with pytest.raises(ConfigError, match="give GPUS=0 as well"):
        launch.launch(table1.launched(options, table1.cells_of(options)))


def test_a_missing_data_set_or_weights_stop_it(
    slurm: FakeSlurm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLEL_DATA", str(tmp_path / "data"))
    for changes, error, message in (
        ({"dataset": "cifar10"}, DataError, "make data DATASET=cifar10"),
        ({"features": "inception-clean"}, ConfigError, "make weights"),
    ):
        options = table1.Table1("smoke", methods=ROWS, out=tmp_path / "out", **changes)  # type: ignore[arg-type]
        with pytest.raises(error, match=message):
            launch.launch(table1.launched(options, table1.cells_of(options)))
    assert not (tmp_path / "out").exists() and not slurm.scripts()


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"OUT is .*cannot be written"):
        preflight.check_writable(tmp_path / "file/out")


def test_an_enclosing_job_and_sbatch_defaults_do_not_reach_a_submission(monkeypatch: pytest.MonkeyPatch) -> None:
    given = {"SLURM_JOB_ID": "1", "SLURM_CONF": "/c", "SBATCH_TIMELIMIT": "1", "SBATCH_ACCOUNT": "a"}
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    with submit.outside_a_job(SlurmOptions()):
        seen = {name for name in os.environ if name in given}
    assert seen == {"SLURM_CONF", "SBATCH_ACCOUNT"} and given.items() <= os.environ.items()


def test_cancelling_and_resuming(
    slurm: FakeSlurm, start: Launch, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    out = tmp_path / "out"
    start(limit_minutes=9)
    slurm.states |= {"101": "RUNNING", "102": "PENDING", "103": "COMPLETED", "104": "PENDING"}
    sweep = choose_sweep(out)
    of = {ids[0]: run for run, ids in sweep.jobs.items()}
    capsys.readouterr()
    sweeps.cancel(sweeps.Cancel(run=of["102_1"][:-1], out=out))
    assert capsys.readouterr().out == "cancelled 1 job of 1 run: 102_1. make resume submits it again\n"
    assert slurm.cancelled == ["102_1"] and choose_sweep(out).cancelled == ["102_1"]
    # a task that was cancelled while it waited is unknown to Slurm afterwards
    slurm.states |= {"102_1": "UNKNOWN"}
    (out / "runs" / of["103"] / "output.log").write_text("what was\nthe matter\n")
    capsys.readouterr()
    again.resume(again.Resume(out=out, slurm=SlurmOptions(limit_minutes=30)))
    printed = capsys.readouterr().out
    assert f"{of['102_1']}: cancelled\n" in printed and "    the matter\n" in printed
    sweep = choose_sweep(out)
    assert sweep.jobs[of["103"]][0] == "103" and {sweep.jobs[of[j]][-1] for j in ("103", "102_1")} == {"105_0", "105_1"}
    assert sweep.jobs[of["101_0"]] == ["101_0"] and "--time=30" in slurm.scripts()[105]
    sweeps.cancel(sweeps.Cancel(out=out))
    assert set(slurm.cancelled) == {"102_1", "101_0", "101_1", "102_0", "105_0", "105_1", "104", "106"}
    said = capsys.readouterr().out
    assert "cancelled 5 jobs of 5 runs: " in said and "make resume submits them again" in said
    assert "cancelled 2 jobs that make the table: 104, 106. make table1 " in said and "stay" not in said
    slurm.dead = True
    known = choose_sweep(out).cancelled
    with pytest.raises(SchedulerError):
        sweeps.cancel(sweeps.Cancel(out=out))
    assert choose_sweep(out).cancelled == known


def test_what_is_left_to_cancel_is_named_for_what_it_is(
    slurm: FakeSlurm, start: Launch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"

    def said(**options: str) -> str:
        capsys.readouterr()
        sweeps.cancel(sweeps.Cancel(out=out, **options))
        return capsys.readouterr().out

    first = start()
    assert first is not None
    slurm.states |= dict.fromkeys(("101", "102", "103"), "FAILED") | {"104": "PENDING"}
    second = start()
    assert second is not None and set(second.jobs) == set(first.jobs)
    slurm.states |= dict.fromkeys(("105", "106"), "COMPLETED") | {"107": "RUNNING", "108": "PENDING"}
    # one run is at work, for the other sweep
    text = said(sweep=first.name)
    assert f"have jobs of other sweeps, which stay: make cancel SWEEP={second.name}\n" in text
    assert f"cancelled 1 job that makes the table: 104. {first.command} makes it\n" in text and "resume" not in text
    slurm.states["107"] = "COMPLETED"
    assert said(sweep=first.name) == "nothing to cancel: no job of its own is waiting or running\n"
    # long after all has ended, Slurm knows nothing
    slurm.states.clear()
    for run in second.runs:
        (second.run_folders / run / "record.json").write_text('{"status": "ok", "reason": null}')
    assert said().startswith("nothing to cancel") and not set(slurm.cancelled) - {"104"}


def test_a_resume_with_other_settings_in_the_code_says_so(
    slurm: FakeSlurm, start: Launch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep = start()
    assert sweep is not None
    path = sweep.folder / "sweep.json"
    path.write_text(re.sub("clel-digits-s0-[0-9a-f]+", "clel-digits-s0-00000000", path.read_text()))
    with pytest.raises(ConfigError, match=r"other settings now.*1 of its runs.*clel-digits-s0-00000000"):
        again.resume(again.Resume(out=tmp_path / "out"))


def test_a_table_of_nothing_is_not_made(slurm: FakeSlurm, start: Launch, tmp_path: Path) -> None:
    sweep = start()
    assert sweep is not None
    (tmp_path / "out/smoke").mkdir()
    assert again.collect(again.Collect(sweep.folder)) == 3
    assert not list((tmp_path / "out/smoke").iterdir())


def test_logs_of_a_run_by_the_beginning_of_its_name(
    slurm: FakeSlurm, start: Launch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sweep = start()
    assert sweep is not None
    (run,) = (r for r in sweep.runs if r.startswith("plain"))
    (sweep.run_folders / run / "output.log").write_text("from the run\n")
    (sweep.folder / "jobs" / f"{sweep.jobs[run][0]}_0_log.out").write_text("from the job\n")
    capsys.readouterr()
    sweeps.logs(sweeps.Logs("pl", out=tmp_path / "out"))
    assert "from the run\n" in (text := capsys.readouterr().out) and "from the job" in text
    for prefix, message in (("x", "is no run"), ("", "stands for 5 runs")):
        with pytest.raises(ConfigError, match=message):
            sweeps.logs(sweeps.Logs(prefix, out=tmp_path / "out"))


def test_options_survive_their_file(tmp_path: Path) -> None:
    options = table1.Table1(
        "smoke",
        seeds=2,
        methods="plain",
        external=tmp_path / "x.csv",
        out=tmp_path,
        slurm=SlurmOptions("gpu", memory=1.5, sbatch="a=b"),
    )
    plain = json.loads(json.dumps(table1.stored(options)))
    assert table1.restored(plain, tmp_path) == options


@pytest.mark.parametrize(
    ("setup", "status", "said"),
    [
        ("true; false || true; . ./file; whole", 0, "went on"),
        ("", 0, "went on"),
        ("export X='a b'\nbroken y; true", 4, "SETUP failed with exit status 4: export X='a b' broken y; true"),
        ("nobody's \"load\"' x; true", 127, "SETUP failed with exit status 127: nobody's \"load\"' x; true"),
    ],
)
def test_a_set_up_counts_by_its_own_commands(setup: str, status: int, said: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("false; true\n")
    functions = ["whole() { false; true; }", "broken() { true; return 4; }"]
    script = tmp_path / "job.sh"
    script.write_text("\n".join([*functions, *guarded(setup), "false", "echo went on"]))
    done = subprocess.run(["bash", script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == status and done.stdout.splitlines() == [said]
