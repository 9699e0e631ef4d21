"""The memory of an evaluation does not grow with the number of samples."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest


def peaks(folder: Path, *numbers: int) -> list[float]:
    """Peak memory so far, MB, of one process after it drew and measured each of these numbers of samples."""
    command = [sys.executable, "-m", "tests.clel.features.measure_memory", str(folder), *map(str, numbers)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[3])
    return [float(line) for line in done.stdout.splitlines()]


@pytest.mark.slow
def test_three_times_as_many_samples_take_no_more_memory(tmp_path: Path) -> None:
    """10,000 more samples are 30 MB as uint8, 61 MB after two rounds, and 20 MB as features and probabilities."""
    small, large = peaks(tmp_path, 5_000, 25_000)
    assert large - small < 40, f"{small:.0f} MB for 5,000 samples, {large:.0f} MB for 25,000"
