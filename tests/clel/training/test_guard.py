"""The divergence guard sees what NaN-blind comparisons miss."""

from __future__ import annotations

import math

import pytest
import torch

from clel.training.trainer import Guard


def after(*iterations: dict[str, float], max_energy: float = 10.0) -> bool:
    guard = Guard(max_energy, torch.device("cpu"))
    for losses in iterations:
        guard.observe({name: torch.tensor(value) for name, value in losses.items()})
    return bool(guard.bad)


GOOD = {"loss": 1.0, "energy_positive": 0.1, "energy_negative": -0.4}


@pytest.mark.parametrize("key", ["loss", "energy_positive", "energy_negative", "contrastive"])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_non_finite_in_any_key(key: str, value: float) -> None:
    assert after(GOOD | {key: value})


@pytest.mark.parametrize("key", ["energy", "energy_positive", "energy_negative"])
@pytest.mark.parametrize("value", [10.1, -10.1, 1e30])
def test_runaway_energy(key: str, value: float) -> None:
    assert after({"loss": 0.0, key: value})


@pytest.mark.parametrize("losses", [GOOD, {"loss": -1e6}, {"loss": 1e30, "energy_positive": 10.0}, {"my_energy": 50.0}])
def test_fine(losses: dict[str, float]) -> None:
    """Large losses are no divergence, and an energy may reach the bound."""
    assert not after(losses)


def test_remembers_until_reset() -> None:
    guard = Guard(10.0, torch.device("cpu"))
    place = guard.bad.data_ptr()
    guard.observe({"loss": torch.tensor(math.nan)})
    guard.observe({"loss": torch.tensor(0.0)})
    assert bool(guard.bad)
    guard.reset()
    assert not bool(guard.bad)
    guard.observe({"loss": torch.tensor(0.0)})
    assert not bool(guard.bad)
    guard.observe({"energy": torch.tensor(11.0)})
    assert bool(guard.bad) and guard.bad.data_ptr() == place


def test_no_gradient_is_kept() -> None:
    guard = Guard(10.0, torch.device("cpu"))
    w = torch.tensor(2.0, requires_grad=True)
    guard.observe({"loss": w * 3, "energy": (w * 1).double()})
    assert not guard.bad.requires_grad and not bool(guard.bad)
