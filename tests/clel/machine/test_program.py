"""A program answers signals from its first moment on, while what it needs is still being imported."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest


@pytest.mark.slow
@pytest.mark.parametrize(("module", "number"), [("clel", signal.SIGTERM), ("experiments", signal.SIGINT)])
def test_a_signal_among_the_imports_is_answered(module: str, number: signal.Signals) -> None:
    """torch takes seconds; what is looked for is the first sign of the package, which comes before it."""
    command = [sys.executable, "-v", "-m", module, "none"]
    child = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert child.stderr is not None
    told = ""
    for line in child.stderr:
        told += line
        if line.startswith("import 'torch."):
            child.send_signal(number)
            break
    rest = child.stderr.read()
    assert child.wait(60) == 128 + number
    assert f"{number.name} while starting; nothing was begun" in rest and "Traceback" not in rest
