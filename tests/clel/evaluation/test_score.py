"""Sampling: rounds and protocols as the authors run them, batches, and files to go on with after an interruption."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from baselines import METHODS
from clel.chains.energy import Energy
from clel.chains.langevin import langevin, restarted
from clel.chains.protocol import CLEAN, Protocol
from clel.config import ConfigError, identity
from clel.data import to_uint8
from clel.data.augment import STRONG, augment
from clel.methods.method import Method
from clel.methods.settings import EvaluateConfig
from clel.random import stream
from clel.sampling import fresh
from clel.sampling.fresh import draw_fresh, draw_into, further_steps, own_protocols, refuse_rounds, rounds
from tests.clel.training.trainer_process import small_config, small_images


@pytest.fixture
def method() -> Any:
    from clel import CLEL

    torch.manual_seed(0)
    return CLEL(small_config(), small_images().spec).eval()


def test_one_round_is_one_chain_from_noise(method: Any) -> None:
    pixels = draw_fresh(method, 5, EvaluateConfig(samples=5, steps=4), seed=1)
    generator = stream("cpu", 1, "sample", 0)
    x = torch.rand(5, 1, 8, 8, generator=generator)
    x = langevin(Energy(method.energy), x, method.config.langevin, generator, 4)
    assert (to_uint8(x).int() - pixels.int()).abs().max() <= 1


def test_quiet_rounds_equal_one_long_chain(method: Any) -> None:
    """The clean protocol: in how many rounds a chain is measured changes nothing."""
    one, three, uneven = (draw_fresh(method, 4, EvaluateConfig(4, steps=7, rounds=r), seed=2) for r in (1, 3, 50))
    assert torch.equal(one, three) and torch.equal(one, uneven)


@pytest.mark.parametrize(
    ("steps", "n", "expected"), [(60, 3, (20, 20, 20)), (7, 3, (2, 2, 3)), (2, 5, (1, 1)), (0, 4, (0,)), (5, 1, (5,))]
)
def test_steps_of_rounds(steps: int, n: int, expected: tuple[int, ...]) -> None:
    assert EvaluateConfig(4, steps=steps, rounds=n).round_steps == expected


def test_steps_beyond_are_at_equal_ratios() -> None:
    assert EvaluateConfig(4, steps=30, beyond=5.0).further_steps == (
        30,
        *(round(30 * 5 ** (k / 3)) for k in (1, 2)),
        150,
    )
    for config in (
        EvaluateConfig(4, steps=30),
        EvaluateConfig(4, steps=0, beyond=5.0),
        EvaluateConfig(4, 1, beyond=1.1),
    ):
        assert config.further_steps == ()
    assert (
        identity(EvaluateConfig(4)) == identity(EvaluateConfig(4, beyond=1.0)) != identity(EvaluateConfig(4, beyond=2))
    )
    with pytest.raises(ConfigError, match="expected times steps"):
        EvaluateConfig(4, beyond=0.5)


def test_what_cannot_go_on_is_followed_to_the_end_alone(method: Any) -> None:
    class Straight(type(method)):  # type: ignore[misc]
        continue_chains = Method.continue_chains

    config = EvaluateConfig(4, steps=3, beyond=4.0)
    assert further_steps(type(method), config) == config.further_steps and len(config.further_steps) == 4
    assert further_steps(Straight, config) == (3, 12) and further_steps(Straight, EvaluateConfig(4, steps=3)) == ()


def test_paper_protocol_by_hand(method: Any) -> None:
    """Before every round, the first included: restart one in a thousand, augment all; then the round's steps."""
    chosen = own_protocols(type(method), method.config)["paper"]
    found = list(rounds(method, 6, EvaluateConfig(6, steps=4, rounds=2), chosen, stream("cpu", 5)))
    g = stream("cpu", 5)
    x = torch.rand(6, 1, 8, 8, generator=g)
    for state in found:
        x = augment(restarted(x, 0.001, g), replace(STRONG, style="simclr"), g)
        x = langevin(Energy(method.energy), x, method.config.langevin, g, 2)
        assert (to_uint8(x).int() - to_uint8(state).int()).abs().max() <= 1


def test_what_cannot_go_on_is_refused_before_training(method: Any) -> None:
    class Straight(type(method)):  # type: ignore[misc]
        title = "Straight"
        continue_chains = Method.continue_chains

    refuse_rounds(Straight, method.config, EvaluateConfig(4, steps=4))
    refuse_rounds(type(method), method.config, EvaluateConfig(4, steps=4, rounds=2, protocols=("paper",)))
    for config in (EvaluateConfig(4, steps=4, rounds=2), EvaluateConfig(4, steps=4, protocols=("clean", "paper"))):
        with pytest.raises(ConfigError, match="Straight samples from noise to the end"):
            refuse_rounds(Straight, method.config, config)


def test_a_method_has_its_own_disturbed_protocol_or_none(method: Any) -> None:
    """CLEL's is its training sampler, in the style of the run; one that states none is not sampled by another's."""

    class Undisturbed(type(method)):  # type: ignore[misc]
        title = "Undisturbed"
        disturbed = Method.disturbed

    assert own_protocols(Undisturbed, method.config) == {"clean": CLEAN}
    refuse_rounds(Undisturbed, method.config, EvaluateConfig(4, steps=4, rounds=2))
    with pytest.raises(ConfigError, match="Undisturbed has no protocol 'paper' of its own"):
        refuse_rounds(Undisturbed, method.config, EvaluateConfig(4, steps=4, protocols=("clean", "paper")))
    with pytest.raises(ConfigError, match="unknown protocol of Undisturbed 'paper'"):
        draw_fresh(Undisturbed(method.config, method.spec), 2, EvaluateConfig(2, steps=1), 0, protocol="paper")
    for name in ("clel", "plain"):
        for preset, style in (("quick", "simclr"), ("small", "kornia"), ("paper", "kornia")):
            own = own_protocols(METHODS[name], METHODS[name].recipe(preset).config)
            assert own["paper"] == Protocol(0.001, replace(STRONG, style=style)), (name, preset)  # type: ignore[arg-type]


def test_restart_rate() -> None:
    x = torch.full((20_000, 1, 1, 1), 2.0)
    rate = (restarted(x, 0.3, stream("cpu", 0)) < 2).float().mean().item()
    assert abs(rate - 0.3) < 5 * (0.3 * 0.7 / 20_000) ** 0.5


def test_batches_are_independent_of_how_many_follow(method: Any) -> None:
    config = EvaluateConfig(4, steps=2, batch=3)
    assert torch.equal(draw_fresh(method, 6, config, seed=3)[:3], draw_fresh(method, 3, config, seed=3))


CONFIG = EvaluateConfig(samples=7, steps=4, rounds=2, batch=3)


def stored(folder: Path, method: Any, config: EvaluateConfig = CONFIG) -> fresh.SampleFiles:
    return draw_into(folder, method, config, "clean", 3, "sample", "test")


def test_stored_samples_are_the_drawn_ones_with_every_round(method: Any, tmp_path: Path) -> None:
    s = stored(tmp_path / "parts", method)
    last = torch.cat(list(s.pixels()))
    assert torch.equal(last, draw_fresh(method, 7, CONFIG, seed=3))
    assert torch.equal(torch.cat(list(s.pixels(0))), draw_fresh(method, 7, replace(CONFIG, steps=2, rounds=1), seed=3))
    s.gather(tmp_path / "samples.npy")
    assert np.array_equal(np.load(tmp_path / "samples.npy"), last.numpy())


def test_interrupted_sampling_goes_on(method: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = torch.cat(list(stored(tmp_path / "whole", method).pixels()))
    real, drawn = fresh._batch, []

    def die_in_the_second(method: Any, start: int, *rest: Any) -> list[Tensor]:
        drawn.append(start)
        if drawn == [0, 3]:
            raise KeyboardInterrupt
        return real(method, start, *rest)

    monkeypatch.setattr(fresh, "_batch", die_in_the_second)
    with pytest.raises(KeyboardInterrupt):
        stored(tmp_path / "halves", method)
    again = torch.cat(list(stored(tmp_path / "halves", method).pixels()))
    assert drawn == [0, 3, 3, 6]  # the first batch was not drawn again
    assert torch.equal(again, whole)


def test_batch_is_halved_where_memory_ends(method: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = fresh._batch

    def small_gpu(method: Any, start: int, n: int, *rest: Any) -> list[Tensor]:
        if n > 2:
            raise torch.cuda.OutOfMemoryError("out of memory")
        return real(method, start, n, *rest)

    monkeypatch.setattr(fresh, "_batch", small_gpu)
    s = stored(tmp_path / "parts", method, replace(CONFIG, batch=5))
    assert s.batch == 2 and sum(len(p) for p in s.pixels()) == 7
    assert torch.equal(torch.cat(list(s.pixels())), draw_fresh(method, 7, replace(CONFIG, batch=2), seed=3))

    def no_memory(*_: Any) -> list[Tensor]:
        raise torch.cuda.OutOfMemoryError("out of memory")

    monkeypatch.setattr(fresh, "_batch", no_memory)
    with pytest.raises(torch.cuda.OutOfMemoryError):
        stored(tmp_path / "none", method)
