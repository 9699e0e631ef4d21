"""The memory of an evaluation does not grow with the number of samples."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest


def peak(n: int, folder: Path) -> float:
    """Peak memory, MB, of a process that draws and measures n samples."""
    command = [sys.executable, "-m", "tests.clel.measure_memory", str(n), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2])
    return float(done.stdout)


@pytest.mark.slow
def test_three_times_as_many_samples_take_no_more_memory(tmp_path: Path) -> None:
    """10,000 more samples are 30 MB as uint8, 61 MB after two rounds, and 20 MB as features and probabilities."""
    small, large = peak(5_000, tmp_path / "small"), peak(25_000, tmp_path / "large")
    assert large - small < 40, f"{small:.0f} MB for 5,000 samples, {large:.0f} MB for 25,000"
