"""The Makefile and its variables: what is typed reaches the program as it is, checked; unknown names are refused."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import get_type_hints

import pytest
import torch

from experiments.cli import COMMANDS
from experiments.speed import cuda
from experiments.targets import TARGETS
from experiments.variables import CHOICES, VARIABLES, VariableError, arguments, typed_in

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(autouse=True)
def _no_make_above(monkeypatch: pytest.MonkeyPatch) -> None:
    """The make that runs the tests hands its variables on, and has those below it say where they are."""
    for name in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS", "MAKEOVERRIDES"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("target", "variable", "option", "off"),
    [
        ("table1", "PLAN", "--plan", "--no-plan"),
        ("table1", "FORCE", "--slurm.force", "--slurm.no-force"),
        ("resume", "FORCE", "--slurm.force", "--slurm.no-force"),
        ("bench-save", "FORCE", "--force", "--no-force"),
        ("speed-memory", "SCALING", "--scaling", "--no-scaling"),
    ],
)
def test_a_variable_is_on_or_off_or_an_error(target: str, variable: str, option: str, off: str) -> None:
    for words, expected in ((("1", "yes", "true"), [option]), (("0", "no", "false"), [off]), (("",), [])):
        for word in words:
            found = arguments(target, {variable: word})
            assert [part for part in found if part in (option, off)] == expected
    for word in ("maybe", "2", "of"):
        with pytest.raises(VariableError, match=f"{variable}={word}: it is on or off; give 1, yes or true, or 0, no"):
            arguments(target, {variable: word})
    assert arguments("table1", {"RATES": "0"})[-2:] == ["--rates", "False"]


def test_what_is_typed_reaches_the_program_as_it_is(tmp_path: Path) -> None:
    typed = {
        "SEEDS": "1; touch x; :",
        "OUT": "/tmp/o'brien a\"b\\c",
        "DATASET": "$(touch x)`touch x`$HOME",
        "SET": "langevin.steps=1,3; lr=0.001",
    }
    (tmp_path / "Makefile").write_text('all:\n\t@printf %s "$$MAKEFLAGS"\n')
    order = ["make", "-s", "-C", str(tmp_path), *(f"{name}={value}" for name, value in typed.items())]
    flags = subprocess.run(order, capture_output=True, text=True, timeout=60, check=True).stdout
    assert typed_in(flags.splitlines()[-1]) == typed
    assert not (tmp_path / "x").exists()
    with pytest.raises(VariableError, match="SEEDS=1; touch x; :: expected a whole number"):
        arguments("table1", typed)
    found = arguments("table1", typed | {"SEEDS": "2"})
    assert found[:3] == ["-m", "experiments", "table1"]
    assert [found[found.index(f"--{name.lower()}") + 1] for name in ("SET", "OUT", "DATASET")] == [
        typed[name] for name in ("SET", "OUT", "DATASET")
    ]
    assert arguments("table1", {"OUT": "--x"})[-1] == "--out=--x"


def test_unknown_variables_are_refused_with_the_nearest() -> None:
    for target, name, message in [
        ("table1", "METHOD", "unknown variable METHOD; did you mean METHODS?"),
        ("table1", "SEED", "takes no SEED; did you mean SEEDS? known: PROFILE"),
        ("status", "SEEDS", "takes no SEEDS; did you mean SWEEP? known: OUT, SWEEP"),
        ("resume", "MINUTES", "a job's limit is LIMIT_MINUTES"),
        ("speed-memory", "BATCH", "BATCH=abc: expected a whole number: images of an iteration"),
    ]:
        with pytest.raises(VariableError, match=re.escape(message)):
            arguments(target, {name: "abc"})
    with pytest.raises(VariableError, match="needs RUN="):
        arguments("logs", {})
    # what only the environment has may be somebody else's
    assert arguments("status", {}, {"SEEDS": "3", "OUT": "x", "METHOD": "y"}) == [
        "-m",
        "experiments",
        "status",
        "--out",
        "x",
    ]
    assert arguments("table1", {"PYTHON": "python3", "SEEDS": "2"}, {"SEEDS": "3"})[-2:] == ["--seeds", "2"]


def test_every_option_is_one_of_its_program() -> None:
    for name, target in TARGETS.items():
        assert set(target.takes) <= set(VARIABLES), name
        if target.command[0] != "experiments":
            continue
        kind = COMMANDS[target.command[1]][0]
        hints = get_type_hints(kind)
        for variable, option in target.takes.items():
            first, _, rest = option.removeprefix("--").replace("-", "_").partition(".")
            assert first in hints and (not rest or rest in get_type_hints(hints[first])), (name, variable, option)
            if VARIABLES[variable].kind == "switch":
                held = get_type_hints(hints[first])[rest] if rest else hints[first]
                assert held is bool or variable in CHOICES, (name, variable)
    assert {variable for target in TARGETS.values() for variable in target.takes} == set(VARIABLES)


def test_make_runs_the_program_of_its_target() -> None:
    order = ["make", "-n", f"PYTHON={sys.executable}"]
    for target in TARGETS:
        done = subprocess.run([*order, target], cwd=ROOT, capture_output=True, text=True, timeout=60)
        assert done.stdout.strip() == f'"{sys.executable}" -m experiments.variables {target}', done.stderr
    environment = {**os.environ, "SEEDS": "3"}
    more = [f"PYTHON={sys.executable}", "METHODS=clel,plainn", "PROFILE=smoke"]
    done = subprocess.run(
        ["make", "table1", *more], cwd=ROOT, capture_output=True, text=True, timeout=120, env=environment
    )
    assert done.returncode == 2 and "unknown method 'plainn'" in done.stderr
    done = subprocess.run(["make", "table1", *more, "SEED=3"], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2 and "did you mean SEEDS?" in done.stderr


def test_the_width_of_a_terminal_is_no_choice_of_columns() -> None:
    """Shells and test runners set COLUMNS for programs: only what was typed counts."""
    assert "--columns" not in arguments("table1", {}, {"COLUMNS": "80", "SEEDS": "2"})
    assert arguments("table1", {"COLUMNS": "method"}, {"COLUMNS": "80"})[-2:] == ["--columns", "method"]


@pytest.mark.parametrize("variable", ["PY", "PYTHON"])
@pytest.mark.parametrize("target", ["gpu-check", "bench"])
def test_another_python_needs_no_environment(target: str, variable: str) -> None:
    order = ["make", "-n", target, f"{variable}=some-python"]
    done = subprocess.run(order, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and '"some-python" -m experiments' in done.stdout
    assert "venv" not in done.stdout and "pip" not in done.stdout


@pytest.mark.parametrize("target", ["table1", "report", "engines", "archive"])
def test_what_names_a_table_is_passed_on(target: str) -> None:
    named = {"PROFILE": "small", "METHODS": "clel", "DATASET": "shapes", "FEATURES": "classifier", "ENGINE": "exact"}
    named |= {"PROTOCOLS": "clean,paper", "SEEDS": "2", "SAMPLING_SEEDS": "3", "MINUTES": "9", "OUT": "elsewhere"}
    printed = " ".join(arguments(target, named | {"EXTERNAL": "my.csv"}))
    for name, value in (named | {"EXTERNAL": "my.csv"}).items():
        assert f"--{name.lower().replace('_', '-')} {value}" in printed, name


def test_where_table1_runs_is_passed_on() -> None:
    order = {"DEVICE": "cuda", "WORKERS": "2", "SEEDS": "3", "CLUSTER": "slurm", "RUNS_PER_GPU": "4"}
    printed = " ".join(arguments("table1", order | {"LIMIT_MINUTES": "60"}))
    assert all(option in printed for option in ("--device cuda", "--workers 2", "--seeds 3", "--cluster slurm"))
    assert all(option in printed for option in ("--runs-per-gpu 4", "--slurm.runs-per-gpu 4"))
    assert "--slurm.limit-minutes 60" in printed and " --minutes" not in printed


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_gpu_check_says_what_it_needs_before_any_work() -> None:
    order = ["make", "gpu-check", f"PY={sys.executable}"]
    done = subprocess.run(order, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 2 and done.stdout == ""
    assert f"no CUDA device. Found: torch {torch.__version__}, built" in done.stderr
    assert "Needed: an NVIDIA GPU" in done.stderr


def test_help_needs_no_environment_and_names_everything() -> None:
    shown = subprocess.run(["make"], cwd=ROOT, capture_output=True, text=True, timeout=60).stdout
    for name in (*(f"make {target}" for target in TARGETS), *VARIABLES, "make test", "make gpu-check"):
        assert re.search(rf"(?m)^  {name} ", shown), name
    own = subprocess.run(
        ["make", "features", "HELP=1", f"PYTHON={sys.executable}"], cwd=ROOT, capture_output=True, text=True, timeout=60
    ).stdout
    assert "SIDES" in own and "METHODS" not in own


def test_what_gpu_check_lacks_is_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert cuda.not_importable(("torch", "no_such_module")) == ["no_such_module"]
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
