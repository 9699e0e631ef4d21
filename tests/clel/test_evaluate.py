"""Sampling and scoring: rounds as the authors run them, batches, and what a protocol says."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from clel.augment import STRONG
from clel.config import ConfigError
from clel.data import to_uint8
from clel.evaluate import draw
from clel.langevin import langevin, restarted
from clel.random import stream
from clel.settings import EvaluateConfig
from tests.clel.trainer_process import small_config, small_images


@pytest.fixture
def method() -> torch.nn.Module:
    from clel import CLEL

    torch.manual_seed(0)
    return CLEL(small_config(), small_images().spec).eval()


def test_one_round_is_one_chain_from_noise(method) -> None:  # type: ignore[no-untyped-def]
    pixels = draw(method, 5, EvaluateConfig(samples=5, steps=4), seed=1)
    generator = stream("cpu", 1, "sample", 0)
    x = torch.rand(5, 1, 8, 8, generator=generator)
    x = langevin(lambda x: method.energy(x), x, method.config.langevin, generator, 4)
    assert (to_uint8(x).int() - pixels.int()).abs().max() <= 1


def test_quiet_rounds_without_noise_equal_one_long_chain(method) -> None:  # type: ignore[no-untyped-def]
    method.config = replace(method.config, langevin=replace(method.config.langevin, noise=0.0))
    one, three = (draw(method, 4, EvaluateConfig(4, steps=6, rounds=r), seed=2) for r in (1, 3))
    assert torch.equal(one, three)


def test_rounds_restart_and_augment(method) -> None:  # type: ignore[no-untyped-def]
    plain = EvaluateConfig(4, steps=4, rounds=2)
    a = draw(method, 4, plain, seed=2)
    assert not torch.equal(a, draw(method, 4, replace(plain, augmentation=STRONG), seed=2))
    assert not torch.equal(a, draw(method, 4, replace(plain, restart=1.0), seed=2))
    with pytest.raises(ConfigError, match="whole number of steps a round"):
        EvaluateConfig(4, steps=5, rounds=2)


def test_restart_rate() -> None:
    x = torch.full((20_000, 1, 1, 1), 2.0)
    rate = (restarted(x, 0.3, stream("cpu", 0)) < 2).float().mean().item()
    assert abs(rate - 0.3) < 5 * (0.3 * 0.7 / 20_000) ** 0.5


def test_batches_are_independent_of_how_many_follow(method) -> None:  # type: ignore[no-untyped-def]
    config = EvaluateConfig(4, steps=2, batch=3)
    assert torch.equal(draw(method, 6, config, seed=3)[:3], draw(method, 3, config, seed=3))
