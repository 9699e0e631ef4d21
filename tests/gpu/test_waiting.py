"""Between two lines of the log no iteration waits for the GPU: while it computes, the next ones are asked for."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.gpu.small import CPU, no_waiting, seeded, trainer


@pytest.mark.parametrize("name", ["plain", "clel", "igebm"])
def test_no_iteration_waits(name: str, device: torch.device, tmp_path: Path) -> None:
    """After the first ones, in which chains are recorded and optimisers make their state; over the end of an epoch."""
    run = trainer(name, "fast", device, tmp_path, iterations=8)
    run.method.reset_chains(seeded(device))
    for _ in range(2):
        run.step()
    with no_waiting(device):
        for _ in range(3):
            losses = run.step()
    assert all(bool(value.isfinite()) for value in losses.values())


def test_what_waits_is_found() -> None:
    x = torch.rand(3)
    for waits in (lambda: float(x.sum()), lambda: x[x > 2], lambda: x.new_tensor([1.0]), lambda: bool(x.sum() > 0)):
        with no_waiting(CPU), pytest.raises(RuntimeError, match="would wait here"):
            waits()
    with no_waiting(CPU):
        x[torch.arange(2)] += 1
