"""Noise levels of DRL: the published constants, and each of them again from DDPM's betas in a plain loop."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from baselines.drl.schedule import NoiseLevels, even_parts, per_image, state_steps

PUBLISHED = {
    "a": (0.94617, 0.85629, 0.7748, 0.70092, 0.63396, 0.02278),
    "sigma": (0.32368, 0.5165, 0.63221, 0.71324, 0.77337, 0.99974),
    "sbar": (0.01, 0.32382, 0.58622, 0.77845, 0.89801, 0.96031),
    "step": (0.0046, 0.0416, 0.0685, 0.0890, 0.1036, 0.1386),
    "weight": (1, 0.627, 0.512, 0.454, 0.419, 0.324),
    "scale": (0.94617, 0.85629, 0.7748, 0.70092, 0.63396, 1),
    "pull": (1, 1, 1, 1, 1, 0),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_constants(name: str) -> None:
    """The six levels of setting T6, to the digits that are printed."""
    digits = 5 if name in ("a", "sigma", "sbar", "scale") else 4 if name == "step" else 3
    values = getattr(NoiseLevels(6, 2e-4), name).tolist()
    np.testing.assert_allclose(values, PUBLISHED[name], rtol=0, atol=0.5001 * 10**-digits)


@pytest.mark.parametrize("levels", [2, 3, 6, 11, 101])
def test_again_in_a_loop(levels: int) -> None:
    """Products of 1 - beta between the states' places, one fine step at a time."""
    apart = 500 // (levels - 1)
    states = [k * apart for k in range(levels)] + [999]
    assert state_steps(levels) == states
    remaining, before, found = 1.0, 1.0, []
    for fine in range(1000):
        remaining *= 1 - (1e-4 + (0.02 - 1e-4) * fine / 999)
        if fine in states:
            found.append((math.sqrt(remaining / before), math.sqrt(remaining)))
            before = remaining
    v = NoiseLevels(levels, 3e-4)
    assert len(v) == levels and len(found) == levels + 1
    for t in range(levels):
        a, abar = found[t + 1][0], found[t][1]
        sigma, sbar = math.sqrt(1 - a * a), math.sqrt(1 - abar * abar)
        assert float(v.a[t]) == pytest.approx(a, rel=1e-6)
        assert float(v.abar[t]) == pytest.approx(abar, rel=1e-6)
        assert float(v.sigma[t]) == pytest.approx(sigma, rel=1e-6)
        assert float(v.sbar[t]) == pytest.approx(sbar, rel=1e-5)
        assert float(v.step[t]) == pytest.approx(math.sqrt(3e-4 * sbar / 0.01) * sigma, rel=1e-5)


def test_is_no_state() -> None:
    """Constants of the configuration are not saved with the weights."""
    assert not NoiseLevels(6, 2e-4).state_dict()


def test_per_image() -> None:
    values = per_image(torch.tensor([5.0, 6.0, 7.0]), torch.tensor([2, 0, 0, 1]))
    assert values.shape == (4, 1, 1, 1) and values.flatten().tolist() == [7, 5, 5, 6]


@given(steps=st.integers(0, 500), levels=st.integers(1, 40))
def test_even_parts(steps: int, levels: int) -> None:
    parts = even_parts(steps, levels)
    assert len(parts) == levels and sum(parts) == steps and max(parts) - min(parts) <= 1


def test_published_number_of_steps() -> None:
    assert even_parts(180, 6) == [30] * 6
