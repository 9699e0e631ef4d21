"""What runs ask of a cluster, how they become arrays, and the plan of it; no Slurm."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from baselines import METHODS
from clel.config import ConfigError
from clel.runs.config import Run
from clel.runs.record import blank_record, write_record
from experiments.plan.disk import Disk
from experiments.slurm import plan, submit
from experiments.slurm.clients import SchedulerError
from experiments.slurm.hours import Hours, hours_of
from experiments.slurm.resources import ANY, UNTRAINED, Needs, Resources, arrays, load_needs, needs_of, resources_of
from experiments.sweep.grid import PROFILES, Cell, table1_cells
from experiments.sweep.slurm_options import SlurmOptions
from tests.experiments.slurm.fakes import FakeSlurm

NEEDS = load_needs()
ROOT = Path(__file__).resolve().parents[3]


def cells(profile: str = "quick", seeds: int = 1, rows: tuple[str, ...] = ()) -> list[Cell]:
    return table1_cells(profile, seeds, rows, dataset="digits")


def test_every_profile_has_resources_and_every_row_of_the_file_is_one_of_a_table() -> None:
    for profile in PROFILES:
        assert {(profile, ANY), (profile, UNTRAINED)} <= NEEDS.keys()
    for profile, row in NEEDS.keys() - {(p, k) for p in PROFILES for k in (ANY, UNTRAINED)}:
        assert row in {cell.row for cell in cells(profile)}
    for needs in NEEDS.values():
        assert needs.cpus >= 1 and needs.minutes >= 10 and needs.memory_gb >= 1 and needs.source


def test_a_row_of_its_own_comes_before_that_of_its_profile() -> None:
    table = {("paper", ANY): Needs(1, 4, 8, 60, 1, ""), ("paper", "clel:large"): Needs(2, 4, 8, 60, 1, "")}
    table |= {("paper", UNTRAINED): Needs(0, 1, 1, 9, 1, "")}
    gpus = {cell.row: needs_of(cell, table).gpus for cell in cells("paper")}
    assert gpus["clel:large"] == 2 and gpus["clel"] == 1 and gpus["noise"] == gpus["real"] == 0
    with pytest.raises(ConfigError, match="untrained"):
        needs_of(cells("quick")[0], table)


def test_the_users_word_counts_also_where_it_is_nought() -> None:
    options = SlurmOptions(partition="gpu", gpus=0, memory=0.5, limit_minutes=5)
    asked = resources_of(cells("paper", rows=("plain",))[-1], options, NEEDS)
    assert (asked.partition, asked.gpus, asked.memory_gb, asked.minutes) == ("gpu", 0, 0.5, 5)
    assert asked.cpus == NEEDS["paper", "plain"].cpus


def test_arrays_hold_equal_resources_the_longest_first_and_no_more_than_allowed() -> None:
    many = cells("paper", seeds=5)
    found = arrays(many, SlurmOptions(), NEEDS, size=4)
    assert sorted(c.run_name for a in found for c in a.cells) == sorted(c.run_name for c in many)
    assert all(1 <= len(a.cells) <= 4 for a in found)
    for array in found:
        assert {resources_of(cell, SlurmOptions(), NEEDS) for cell in array.cells} == {array.resources}
    alone = [a for a in found if a.resources.memory_gb == 32]
    assert [len(a.cells) for a in alone] == [4, 1] and {c.row for a in alone for c in a.cells} == {"clel:large"}
    (whole,) = arrays(cells("quick"), SlurmOptions(limit_minutes=7), NEEDS, size=1000)
    assert whole.cells[0].row == "clel" and whole.cells[-1].row in ("noise", "real")


def test_thousands_of_runs_make_few_arrays() -> None:
    many = cells("quick", seeds=1000, rows=("plain", "igebm"))
    assert len(arrays(many, SlurmOptions(limit_minutes=60), NEEDS, size=1001)) == -(-len(many) // 1001)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", {}),
        ("account=x,qos=y", {"account": "x", "qos": "y"}),
        (" --constraint=a100 , exclusive,", {"constraint": "a100", "exclusive": True}),
        ("mail-type=END", {"mail_type": "END"}),
        ("gres=gpu:a100:1", {"gres": "gpu:a100:1"}),
    ],
)
def test_parameters_of_sbatch(text: str, expected: dict[str, object]) -> None:
    assert SlurmOptions(sbatch=text).parameters() == expected


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sbatch": "partition=gpu"}, "give PARTITION="),
        ({"sbatch": "time=10"}, "give LIMIT_MINUTES="),
        ({"sbatch": "array=0-3"}, "launcher's own"),
        ({"sbatch": "=x"}, "expected name=value"),
        ({"limit_minutes": 0}, "LIMIT_MINUTES is 0"),
        ({"memory": -1.0}, "MEMORY is -1"),
        ({"requeues": -1}, "REQUEUES is -1"),
        ({"parallel": 0}, "PARALLEL is 0"),
    ],
)
def test_refusals(changes: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        SlurmOptions(**changes)


def test_options_of_a_resume_change_only_what_they_give() -> None:
    first = SlurmOptions(partition="gpu", limit_minutes=60, setup="module load x", force=True)
    assert first.changed_by(SlurmOptions()) == replace(first, force=False)
    second = first.changed_by(SlurmOptions(limit_minutes=120, gpus=0, force=True))
    assert (second.partition, second.limit_minutes, second.gpus, second.force) == ("gpu", 120, 0, True)


def test_the_notice_is_short_where_the_limit_is() -> None:
    assert [SlurmOptions().notice_seconds(m) for m in (1, 4, 1440)] == [15, 60, 180]
    assert SlurmOptions(notice=20).notice_seconds(1440) == 20


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b\n", "columns are"),
        ("x,*,1,1,1,1,1,1,s\nx,*,1,1,1,1,1,1,s\n", "second time"),
        ("x,*,one,1,1,1,1,1,s\n", "line 2"),
    ],
)
def test_a_wrong_file_says_where(text: str, message: str, tmp_path: Path) -> None:
    header = "" if "columns" in message else "profile,row,gpus,cpus,memory_gb,gpu_memory_gb,minutes,hours,source\n"
    (tmp_path / "resources.csv").write_text(header + text)
    with pytest.raises(ConfigError, match=message):
        load_needs(tmp_path / "resources.csv")


@pytest.fixture
def space(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs of a known size, as networks of `paper` take seconds to make."""
    monkeypatch.setattr(plan, "disk", lambda run, spec: Disk(3 * 10**9, 5 * 10**9))


@pytest.mark.usefixtures("space")
def test_plan_counts_arrays_and_hours_without_slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    text = plan.describe_arrays(cells("paper", seeds=2), tmp_path / "runs", SlurmOptions(partition="gpu"))
    assert "partition gpu, 1 GPU, 4 CPUs, 32 GB, 1440 min" in text
    (line,) = [line for line in text.splitlines() if line.split()[:1] == ["clel:large"]]
    takes = "2 runs of 133 h, 7 GB on the GPU, 3.0 GB on disk, each about 6 jobs one after the other; "
    assert line.split()[1:] == f"{takes}hours: {NEEDS['paper', 'clel:large'].source}".split()
    trained = sum(isinstance(cell.run, Run) for cell in cells("paper", seeds=2))
    assert f"disk: {3 * trained}.0 GB once all have ended, {5 * trained}.0 GB at most on the way, {trained} at" in text
    hours = sum(needs_of(cell, NEEDS).hours for cell in cells("paper", seeds=2))
    longest = max(needs_of(cell, NEEDS).hours for cell in cells("paper", seeds=2))
    assert f"estimated: {hours:,.0f} GPU hours, {4 * hours:,.0f} core hours, the longest run {longest:g} h" in text
    assert [plan.amount(hours) for hours in (0.25, 163.0, 10_398.0)] == ["0.25", "163", "10,398"]
    assert "nothing was submitted" in text and "cannot ask" in text
    assert "more than REQUEUES=20 allows" in text
    patient = plan.describe_arrays(
        cells("paper", seeds=2), tmp_path / "runs", SlurmOptions(partition="gpu", requeues=50)
    )
    assert "allows" not in patient
    assert set(METHODS) <= {line.split()[0] for line in text.splitlines() if line.startswith("    ")}
    assert "were not checked: no sbatch on PATH" in text


def test_hours_are_what_runs_of_a_row_took_here(tmp_path: Path) -> None:
    row = [cell for cell in cells("quick", seeds=3) if cell.row == "plain"]
    (reference, *_) = (cell for cell in cells("quick") if not isinstance(cell.run, Run))
    pending, begun, done = row

    def hours(cell: Cell = pending) -> Hours:
        return hours_of(cell, row, tmp_path, NEEDS)

    assert hours() == Hours(0.1, NEEDS["quick", ANY].source)
    assert hours_of(reference, [reference], tmp_path, NEEDS).source == NEEDS["quick", UNTRAINED].source
    (tmp_path / begun.run_name).mkdir()
    # 300 s for 100 of its iterations
    lines = [{"kind": "train", "iteration": k, "seconds": 3.0 * k} for k in (50, 100)]
    (tmp_path / begun.run_name / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    expected = float(f"{3 * pending.run.train.iterations / 3600:.3g}")
    assert hours() == Hours(expected, "measured: the rate of 1 run here that began training")
    record = blank_record(done.run_name, done.run, method="plain", preset="quick", dataset="digits", seed=2)
    record |= {"status": "ok", "training": {"seconds": 7200.0}, "provenance": {"device": "a GPU"}}
    write_record(tmp_path / done.run_name, record)
    assert hours() == Hours(2.0, "measured: training of 1 run here on a GPU")
    timed = replace(pending, run=replace(pending.run, train=replace(pending.run.train, minutes=90.0)))
    assert hours(timed) == Hours(1.5, "its minutes of training")
    text = plan.describe_arrays(row, tmp_path, SlurmOptions(gpus=1, cpus=2))
    assert "2 runs of 2 h, " in text and "; hours: measured: training of 1 run here on a GPU" in text
    assert "4 GPU hours, 8 core hours, the longest run 2 h" in text


@pytest.mark.usefixtures("space")
def test_the_plan_says_which_rows_do_not_fit_one_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    large = {key: replace(n, gpu_memory_gb=261) if key[1] in ("vae", "vaebm") else n for key, n in NEEDS.items()}
    monkeypatch.setattr(plan, "load_needs", lambda: large)
    text = plan.describe_arrays(cells("paper", seeds=5), tmp_path / "runs", SlurmOptions())
    marked = [line.split()[0] for line in text.splitlines() if "DOES NOT FIT one of 80 GB" in line]
    assert sorted(marked) == ["vae", "vaebm"] and text.count("261 GB on the GPU") == 2
    assert "10 of 56 runs (" in text and "METHODS=igebm,plain,drl,clel leaves them out" in text
    assert "FIT" not in plan.describe_arrays(cells("paper", seeds=5), tmp_path / "runs", SlurmOptions(gpus=0))


@pytest.mark.usefixtures("space")
def test_every_run_of_paper_fits_one_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    text = plan.describe_arrays(cells("paper", seeds=5), tmp_path / "runs", SlurmOptions())
    assert "FIT" not in text and "oom" not in text
    # as the page of commands, that on Slurm and the method's own page have it
    gb = f"{NEEDS['paper', 'vae'].gpu_memory_gb:g} GB"
    for page in ("docs/reference/commands.md", "docs/guides/slurm.md"):
        assert f"an estimated {gb}" in (ROOT / page).read_text().replace("\n", " ")


def test_the_plan_makes_the_checks_of_the_submission_and_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(wanted: list[Resources]) -> None:
        (resources,) = wanted
        if resources.partition == "gpu":
            raise SchedulerError(f"partition gpu has no node with {resources.memory_gb:g} GB of memory")

    monkeypatch.setattr(plan, "require_slurm", lambda: None)
    monkeypatch.setattr(plan, "check_slurm", refuse)
    monkeypatch.setattr(plan, "array_size", lambda: (1001, "here"))
    monkeypatch.setenv("CLEL_DATA", str(tmp_path))
    sbatch = FakeSlurm(tmp_path / "bin")
    monkeypatch.setenv("PATH", f"{sbatch.folder}:{os.environ['PATH']}")
    out = tmp_path / "out"
    fine = plan.describe_arrays(cells("quick"), out / "runs", SlurmOptions())
    assert fine.count("checked, as the submission will") == 1 and not out.exists()
    many = table1_cells("small", 1, ("plain",), device="cpu", evaluate={"features": "inception-clean"})
    text = plan.describe_arrays(many, out / "runs", SlurmOptions(partition="gpu"))
    assert "small" not in text.split("refused:")[0] and "plain" in text.split("refused:")[0]
    found = text.split("refused:\n")[1]
    for problem in ("no node with 16 GB", "give GPUS=0 as well", "make weights", "make data DATASET=cifar10"):
        assert problem in found
    # what only sbatch itself can tell
    wrong = plan.describe_arrays(cells("quick"), out / "runs", SlurmOptions(sbatch="gres=wrong"))
    assert "as it is, the submission would be refused:\n  - sbatch, asked on trial for default partition" in wrong
    assert "GB, 120 min: Invalid generic resource (gres)" in wrong and "checked, as" not in wrong
    assert not out.exists() and not sbatch.scripts()


def test_a_trial_that_sbatch_takes_for_a_job_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sbatch = FakeSlurm(tmp_path / "bin")
    sbatch.put("sbatch", ["cp $1 $(dirname $0)/7.sh; echo 7"])
    monkeypatch.setenv("PATH", f"{sbatch.folder}:{os.environ['PATH']}")
    (array,) = arrays(
        cells("quick", rows=("plain",)), SlurmOptions(gpus=0, cpus=1, memory=1, limit_minutes=9), NEEDS, 99
    )
    with pytest.raises(SchedulerError, match=r"knows no trial .*took job 7, which does nothing: scancel 7"):
        submit.try_out(array, 2, tmp_path, SlurmOptions())
    script = sbatch.scripts()[7]
    assert "#SBATCH --test-only\n" in script and "#SBATCH --array=0-1%2\n" in script
    assert script.splitlines()[-1].endswith(" true")
