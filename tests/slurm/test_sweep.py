"""A sweep as a job array comes to what the same table comes to on one machine, and is submitted once."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.slurm import sweeps
from tests.slurm.sweeps import Tree


def test_an_array_comes_to_what_local_workers_come_to(tree: Tree, undisturbed: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    plan = tree.run(*tree.table(out, "--cluster", "slurm", "--plan"))
    assert "9 runs" in plan and "checked, as the submission will" in plan and not out.exists()
    said = tree.run(*tree.table(out, "--cluster", "slurm"))
    submitted = sweeps.jobs(out)
    assert all(job in said for job in submitted)
    again = tree.run(*tree.table(out, "--cluster", "slurm"))
    assert sweeps.jobs(out) == submitted, again
    sweeps.wait_for_jobs(out)
    sweeps.assert_same(out, undisturbed)
    assert "9 finished" in tree.run("status", "--out", out)
    # once more submits nothing
    tree.run(*tree.table(out, "--cluster", "slurm"))
    assert sweeps.jobs(out) == submitted


def test_what_the_cluster_cannot_take_is_refused_before_anything_is_submitted(tree: Tree, tmp_path: Path) -> None:
    out = tmp_path / "out"
    before = subprocess.run(["squeue", "--noheader", "--states=all"], capture_output=True, text=True, check=True).stdout
    said = tree.run(*tree.table(out, "--cluster", "slurm", "--slurm.partition", "nope"), status=2)
    assert "no partition nope here; there are local" in said
    plan = tree.run(*tree.table(out, "--cluster", "slurm", "--slurm.partition", "nope", "--plan"))
    assert "would be refused:\n  - no partition nope here" in plan and "9 runs" in plan
    for status, more in ((2, []), (0, ["--plan"])):
        options = ["--cluster", "slurm", "--slurm.sbatch", "gres=nothing:1", *more]
        assert "Invalid generic resource" in tree.run(*tree.table(out, *options), status=status)
    said = tree.run(*tree.table(out, "--cluster", "slurm", "--slurm.memory", 1e6), status=2)
    assert "no node with 1e+06 GB of memory" in said
    after = subprocess.run(["squeue", "--noheader", "--states=all"], capture_output=True, text=True, check=True).stdout
    assert {line.split()[0] for line in after.splitlines()} == {line.split()[0] for line in before.splitlines()}


def test_a_set_up_that_fails_fails_the_job_and_says_so(tree: Tree, tmp_path: Path) -> None:
    out = tmp_path / "out"
    broken = ["--slurm.setup", "module_of_nobody load x; export PAUSE=0"]
    tree.run(*tree.table(out, "--cluster", "slurm", *broken, methods="clel", seeds=1))
    sweeps.wait_for_jobs(out)
    status = tree.run("status", "--out", out)
    assert "3 runs: 3 failed" in status
    assert status.count("SETUP failed with exit status 127: module_of_nobody load x; export PAUSE=0") == 3
    assert "module_of_nobody: command not found" in tree.run("logs", "--out", out, "--run", "clel")
    assert not list(out.glob("runs/*/log.jsonl"))


def test_cancelled_runs_are_remembered_and_resumed(tree: Tree, undisturbed: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    slowly = ["--slurm.setup", "export PAUSE=2", "--slurm.parallel", 1]
    tree.run(*tree.table(out, "--cluster", "slurm", *slowly))
    sweeps.wait(lambda: any(sweeps.iteration(folder) > 1 for folder in sweeps.folders(out).values()), "a run at work")
    tree.run("cancel", "--out", out)
    sweeps.wait_for_jobs(out)
    # most were cancelled while they waited, of which Slurm itself has no record
    status = tree.run("status", "--out", out)
    assert "cancelled" in status and "unknown" not in status
    tree.run("resume", "--out", out, "--slurm.setup", "export PAUSE=0", "--slurm.parallel", 8)
    sweeps.wait_for_jobs(out)
    sweeps.assert_same(out, undisturbed)


def test_trials_are_swept_as_a_table_is(tree: Tree, tmp_path: Path) -> None:
    out = tmp_path / "out"
    tree.run("tune", "--profile", "tiny", "--out", out, "--cluster", "slurm")
    sweeps.wait_for_jobs(out)
    assert "3 finished" in tree.run("status", "--out", out)
    lines = (out / "tune-tiny/tuning.csv").read_text().splitlines()
    assert len(lines) == 4 and all(",ok," in line for line in lines[1:])
    before = sweeps.jobs(out)
    said = tree.run("tune", "--profile", "tiny", "--out", out, "--cluster", "slurm")
    assert sweeps.jobs(out) == before and "plain" in said.lower()
