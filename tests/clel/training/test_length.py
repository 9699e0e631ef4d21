"""A training for minutes: measured once, scaled in all its parts, and from then on a run like any other."""

from __future__ import annotations

import json
import signal
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from baselines import METHODS
from clel.config import ConfigError, identity
from clel.data import Images, load
from clel.machine.signals import Interrupted
from clel.methods.settings import EvaluateConfig, TrainConfig
from clel.runs import rate
from clel.runs.config import Run, build, load_config, resolve, save_config
from clel.runs.execute import execute
from clel.storage import checkpoint
from clel.training.length import lasting
from clel.training.trainer import Trainer
from tests.clel.training.trainer_process import small_config, small_images
from tests.test_contract import small

MINUTES = replace(TrainConfig(iterations=10, checkpoint_every=5, log_every=1, sample_every=0), minutes=0.001)


@pytest.fixture
def run() -> Run[Any]:
    """A run of milliseconds, for a thousandth of a minute."""
    evaluate = EvaluateConfig(samples=100, steps=2, bootstrap=0)
    config = small_config(buffer=replace(small_config().buffer, size=80))
    return replace(
        resolve(METHODS, "clel", "quick"), config=config, train=MINUTES, evaluate=evaluate, device="cpu", seed=3
    )


def measured(run: Run[Any], n: int) -> Run[Any]:
    return replace(run, train=replace(run.train, measured_iterations=n))


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("preset", ["quick", "small", "paper"])
def test_what_is_a_share_of_a_training_stays_one(name: str, preset: str) -> None:
    run = resolve(METHODS, name, preset)
    run = replace(run, train=replace(run.train, minutes=9.0))
    assert lasting(run) == run
    n, of = 1234, run.train.iterations
    found = lasting(measured(run, n))
    assert found.train.iterations == n and found.train.ema_half_life == pytest.approx(run.train.ema_half_life * n / of)
    for key in ("evaluate_every", "sample_every"):
        assert getattr(found.train, key) == -(-getattr(run.train, key) * n // of)
    # as its share, but not more often than each half minute of nine
    assert found.train.checkpoint_every == max(-(-run.train.checkpoint_every * n // of), -(-n // 18))
    assert found.train.minutes == found.train.measured_iterations == 0
    lengths = {"warmup", "kl_warmup", "anneal"}
    before, after = flat(run.config), flat(found.config)
    for key, value in before.items():
        expected = -(-value * n // of) if key.split(".")[-1] in lengths else value
        assert after[key] == expected, key
    assert any(key.split(".")[-1] in lengths for key in before)


def flat(config: Any, prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for f in fields(config):
        value = getattr(config, f.name)
        found |= flat(value, f"{prefix}{f.name}.") if is_dataclass(value) else {prefix + f.name: value}
    return found


def test_a_short_training_still_has_checkpoints() -> None:
    run = resolve(METHODS, "plain", "quick")
    short = measured(replace(run, train=replace(run.train, minutes=0.1)), 40)
    assert lasting(short).train.checkpoint_every == 10


def test_a_run_is_named_by_what_was_asked(run: Run[Any]) -> None:
    assert measured(run, 50).name == measured(run, 60).name == run.name
    other = replace(run, train=replace(run.train, minutes=0.002))
    none = replace(run, train=replace(run.train, minutes=0.0))
    assert len({run.name, other.name, none.name}) == 3
    with pytest.raises(ConfigError, match="minutes is -1"):
        TrainConfig(minutes=-1)


def test_who_calls_the_trainer_gives_iterations(run: Run[Any]) -> None:
    images = small_images()
    with pytest.raises(ConfigError, match="give iterations here"):
        Trainer(build(run, METHODS, images.spec, torch.device("cpu")), images, run.train, Path("."))


def test_stages_count_by_their_share(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of VAEBM's stages, 1,400 of the VAE and 240 of the energy; an iteration of the one takes 2 s, of the other 5."""
    run = resolve(METHODS, "vaebm", "quick", device="cpu")
    run = replace(run, train=replace(run.train, minutes=1.0))
    tried = []

    def seconds(trainer: Trainer, least: float) -> float:
        tried.append((trainer.ledger.stage(trainer.iteration), least))
        return (2.0, 5.0)[trainer.ledger.stage(trainer.iteration)]

    monkeypatch.setattr(rate, "_seconds", seconds)
    mean = (1400 * 2 + 240 * 5) / 1640
    assert rate.seconds_per_iteration(run, METHODS, load("digits")) == pytest.approx(mean)
    assert tried == [(0, pytest.approx(0.6)), (1, pytest.approx(0.6))]
    assert rate.timed(run, METHODS, load("digits")).train.measured_iterations == round(60 / mean)


def test_the_first_iterations_do_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """Five that compile, of 10 s each, then some of a quarter of a second, until they take 3 s together."""
    clock, steps = [0.0], []

    def step() -> None:
        steps.append(1)
        clock[0] += 10.0 if len(steps) <= rate.WARM_UP else 0.25

    monkeypatch.setattr(rate, "now", lambda device: clock[0])
    trainer: Any = SimpleNamespace(step=step, device="cpu")
    assert rate._seconds(trainer, 3.0) == 0.25
    assert len(steps) == rate.WARM_UP + 1 + 2 + 4 + 8 + 16


def test_every_method_can_be_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rate, "WARM_UP", 1)
    for name in METHODS:
        run = resolve(METHODS, name, "quick", device="cpu")
        run = replace(run, config=small(name), train=replace(run.train, minutes=1e-6))
        assert rate.seconds_per_iteration(run, METHODS, load("digits")) > 0, name


def test_it_is_measured_once_and_goes_on_bit_for_bit(
    run: Run[Any], cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped in the middle, started again by a launcher, which writes config.json anew; against an undisturbed one."""
    monkeypatch.setenv("CLEL_CACHE", str(cache))
    counted = []

    def seconds(run: Run[Any], methods: object, images: Images) -> float:
        counted.append(run)
        return 60 * run.train.minutes / 20  # 20 iterations

    monkeypatch.setattr(rate, "seconds_per_iteration", seconds)
    whole, stopped = tmp_path / "whole" / run.name, tmp_path / "stopped" / run.name
    record = execute(run, whole, METHODS)
    assert record["training"]["iterations"] == 20
    assert record["config"]["train"]["minutes"] == 0.001 and record["config"]["train"]["measured_iterations"] == 20
    assert record["config"]["train"]["iterations"] == 10 and record["hash"] == identity(run)
    assert load_config(whole, METHODS) == measured(run, 20)

    look = Trainer.look

    def interrupted(self: Trainer, *given: Any) -> str | None:
        if self.iteration == 7:
            signal.raise_signal(signal.SIGTERM)
        return look(self, *given)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "look", interrupted)
        save_config(run, stopped)
        with pytest.raises(Interrupted):
            execute(run, stopped, METHODS)
    assert len(counted) == 2
    (stopped / "config.json").unlink()  # as the message of a damaged one says; its checkpoints tell
    save_config(run, stopped)
    again = execute(run, stopped, METHODS)
    assert len(counted) == 2 and again["metrics"] == record["metrics"]
    assert load_config(stopped, METHODS).train.measured_iterations == 20
    states = [checkpoint.latest(folder / "checkpoints") for folder in (whole, stopped)]
    assert all(state is not None and state[0] == 20 for state in states)
    first, second = (state[1]["method"] for state in states if state is not None)
    assert all(torch.equal(first[key], second[key]) for key in first)
    # measured in another way, it is the same training
    other = replace(run, evaluate=replace(run.evaluate, samples=90))
    assert execute(other, whole, METHODS)["config"]["train"]["measured_iterations"] == 20 and len(counted) == 2
    assert json.loads((whole / "config.json").read_text())["train"]["measured_iterations"] == 20
