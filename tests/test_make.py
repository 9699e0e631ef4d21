"""The Makefile: variables that are on or off, and the list of variables that `make` prints."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


def make(*arguments: str) -> subprocess.CompletedProcess[str]:
    """What make would do, which runs nothing."""
    order = ["make", "-n", f"PYTHON={sys.executable}", *arguments]
    return subprocess.run(order, cwd=ROOT, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize(
    ("target", "variable", "option", "default"),
    [
        ("table1", "PLAN", "--plan", False),
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


def test_help_names_every_variable() -> None:
    text = re.sub(r"(?m)^#.*$", "", (ROOT / "Makefile").read_text())
    read = set(re.findall(r"\$\(if \$\(([A-Z_0-9]+)\)|\$\(call (?:on|off),([A-Z]+)\)", text))
    names = {a or b for a, b in read} - {"CONSTRAINTS"}  # of setting up, explained in its place
    assert {"BATCH", "SCALING", "REPORT", "THREADS", "BASELINE", "LIMIT", "METHODS", "PARTITION"} <= names
    shown = subprocess.run(["make"], cwd=ROOT, capture_output=True, text=True, timeout=60).stdout
    assert [name for name in sorted(names) if not re.search(rf"\b{name}=", shown)] == []
