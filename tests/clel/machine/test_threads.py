"""How threads wait: what a program sets for it, and what the runtime of one says of itself."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from clel.machine.threads import POLICY, SAID_BY, wait_asleep, wait_settings, waiting

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def silent(monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment that says nothing of waiting yet."""
    for name in SAID_BY:
        # set first, so that what the function sets is undone
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)


def test_threads_sleep_unless_told(silent: None) -> None:
    assert waiting() == "" and wait_settings() == {}
    wait_asleep()
    assert os.environ[POLICY] == "PASSIVE" and waiting() == "OMP_WAIT_POLICY=PASSIVE"


@pytest.mark.parametrize("name", SAID_BY)
def test_the_environment_has_precedence(name: str, silent: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "7")
    wait_asleep()
    assert waiting() == f"{name}=7" and wait_settings() == {name: "7"}
    assert os.environ.get(POLICY) == ("7" if name == POLICY else None)


@pytest.mark.slow
@pytest.mark.parametrize(
    "arguments",
    [["-m", "clel", "train", "none"], ["-m", "experiments", "none"]],
    ids=lambda a: a[1],
)
def test_the_threads_of_programs_do_not_spin(arguments: list[str]) -> None:
    """GNU's runtime says so where it is loaded: after as many rounds as this a thread sleeps."""
    clean = {name: value for name, value in os.environ.items() if name not in SAID_BY}
    clean |= {"OMP_NUM_THREADS": "2", "OMP_DISPLAY_ENV": "VERBOSE", "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, *arguments], cwd=ROOT, env=clean, capture_output=True, text=True)
    assert done.returncode in (1, 2), done.stderr  # there is no such method or experiment
    rounds = [line.split("=")[1].strip() for line in done.stderr.splitlines() if "GOMP_SPINCOUNT" in line]
    if not rounds:
        pytest.skip("another runtime, which does not say")
    assert set(rounds) == {"'0'"}
