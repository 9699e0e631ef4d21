"""The Makefile: variables that are on or off, and the list of variables that `make` prints."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from experiments.speed import cuda

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(autouse=True)
def _no_make_above(monkeypatch: pytest.MonkeyPatch) -> None:
    """The make that runs the tests hands its variables on, and has those below it say where they are."""
    for name in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS", "MAKEOVERRIDES"):
        monkeypatch.delenv(name, raising=False)


def make(*arguments: str) -> subprocess.CompletedProcess[str]:
    """What make would do, which runs nothing."""
    order = ["make", "-n", f"PYTHON={sys.executable}", *arguments]
    return subprocess.run(order, cwd=ROOT, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize(
    ("target", "variable", "option", "default"),
    [
        ("table1", "PLAN", "--plan", False),
        ("table1", "PROJECT", "--project", False),
        ("table1", "FORCE", "--slurm.force", False),
        ("resume", "FORCE", "--slurm.force", False),
        ("bench-save", "FORCE", "--force", False),
        ("speed-memory", "REPORT", "--report", False),
        ("speed-memory", "SCALING", "--no-scaling", True),
    ],
)
def test_a_variable_is_on_or_off_or_an_error(target: str, variable: str, option: str, default: bool) -> None:
    for words, on in ((("1", "yes", "true"), True), (("0", "no", "false"), False), (("",), default)):
        for word in words:
            done = make(target, f"{variable}={word}")
            assert done.returncode == 0, done.stderr
            assert (option in done.stdout) == (on != default)
    for word in ("maybe", "2", "of"):
        done = make(target, f"{variable}={word}")
        assert done.returncode == 2 and not done.stdout
        assert f"{variable}={word}: it is on or off; give 1, yes or true, or 0, no or false" in done.stderr


@pytest.mark.parametrize("variable", ["PY", "PYTHON"])
@pytest.mark.parametrize("target", ["gpu-check", "bench"])
def test_another_python_needs_no_environment(target: str, variable: str) -> None:
    order = ["make", "-n", target, f"{variable}=some-python"]
    done = subprocess.run(order, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and "some-python -m experiments" in done.stdout
    assert "venv" not in done.stdout and "pip" not in done.stdout


def test_the_device_of_benchmarks_is_passed_on() -> None:
    for target in ("bench", "bench-save", "bench-compare"):
        assert "--device cuda" in make(target, "DEVICE=cuda").stdout and "--device" not in make(target).stdout


@pytest.mark.parametrize("target", ["table1", "report", "engines", "archive"])
def test_what_names_a_table_is_passed_on(target: str) -> None:
    named = {"PROFILE": "small", "METHODS": "clel", "DATASET": "shapes", "FEATURES": "classifier", "ENGINE": "exact"}
    named |= {
        "PROTOCOLS": "clean,paper",
        "SEEDS": "2",
        "SAMPLING_SEEDS": "3",
        "MINUTES": "9",
        "EXTERNAL": "my.csv",
        "OUT": "elsewhere",
    }
    printed = make(target, *(f"{name}={value}" for name, value in named.items())).stdout.replace("'", "")
    for name, value in named.items():
        assert f"--{name.lower().replace('_', '-')} {value}" in printed, name


def test_where_table1_runs_is_passed_on() -> None:
    order = ("DEVICE=cuda", "WORKERS=2", "SEEDS=3", "CLUSTER=slurm", "RUNS_PER_GPU=4", "LIMIT_MINUTES=60")
    printed = make("table1", *order).stdout.replace("'", "")
    assert all(option in printed for option in ("--device cuda", "--workers 2", "--seeds 3", "--cluster slurm"))
    assert all(option in printed for option in ("--runs-per-gpu 4", "--slurm.runs-per-gpu 4"))
    assert "--slurm.limit-minutes 60" in printed and " --minutes" not in printed


def test_minutes_are_no_jobs_limit() -> None:
    done = make("resume", "MINUTES=60")
    assert done.returncode == 2 and "a job's limit is LIMIT_MINUTES" in done.stderr


def test_a_borrowed_card_has_natural_images_unless_told_otherwise() -> None:
    assert "--profile small" in make("gpu-natural", "MINUTES=8").stdout
    printed = make("gpu-natural", "PROFILE=smoke", "MINUTES=0.1", "BUDGET=5", "DATASET=digits", "REPORT=1").stdout
    for option in ("--profile 'smoke'", "--minutes 0.1", "--budget 5", "--dataset 'digits'", "--report"):
        assert option in printed


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_gpu_check_says_what_it_needs_before_any_work() -> None:
    order = ["make", "gpu-check", f"PY={sys.executable}"]
    done = subprocess.run(order, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 2 and done.stdout == ""
    assert f"no CUDA device. Found: torch {torch.__version__}, built" in done.stderr
    assert "Needed: an NVIDIA GPU" in done.stderr


def test_help_names_every_variable() -> None:
    text = re.sub(r"(?m)^#.*$", "", (ROOT / "Makefile").read_text())
    read = set(re.findall(r"\$\(if \$\(([A-Z_0-9]+)\)|\$\(call (?:on|off),([A-Z]+)\)", text))
    names = {a or b for a, b in read} - {"CONSTRAINTS"}  # of setting up, explained in its place
    assert {"BATCH", "SCALING", "REPORT", "THREADS", "BASELINE", "LIMIT", "METHODS", "PARTITION"} <= names
    shown = subprocess.run(["make"], cwd=ROOT, capture_output=True, text=True, timeout=60).stdout
    assert [name for name in sorted(names) if not re.search(rf"\b{name}=", shown)] == []


def test_what_gpu_check_lacks_is_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert cuda.missing(("torch", "no_such_module")) == ["no_such_module"]
    assert "torch 2.6, built without CUDA. Needed: an NVIDIA GPU" in cuda.no_device("2.6", None, 0)
    assert "built for CUDA 12.4, and sees 0 devices" in cuda.no_device("2.6", "12.4", 0)
    monkeypatch.setattr(cuda, "CHECKED_WITH", ("torch", "no_such_module"))
    assert cuda.main() == 2 and "lacks no_such_module; PY=" in capsys.readouterr().err
    monkeypatch.undo()
    # as on a machine that has a GPU and nothing to measure with
    properties = type("Properties", (), {"name": "Some GPU", "total_memory": 80 * 2**30, "major": 9, "minor": 0})
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda number: properties)
    monkeypatch.setattr(cuda, "MEASURED_WITH", ("no_such_module",))
    assert cuda.main() == 0
    said = capsys.readouterr()
    assert "Some GPU, 80 GiB, compute capability 9.0" in said.out and "without no_such_module" in said.err
