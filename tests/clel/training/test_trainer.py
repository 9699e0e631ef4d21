"""The trainer: exact resume through real kills, the divergence guard, signals, refusals."""

from __future__ import annotations

import json
import math
import multiprocessing
import os
import random
import shutil
import signal
import threading
import time
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from clel import CLEL
from clel.config import ConfigError
from clel.machine.signals import Interrupted
from clel.storage import checkpoint
from tests.clel.training import trainer_process
from tests.clel.training.trainer_process import TRAIN, make


def equal(a: Any, b: Any) -> bool:
    """Whether two checkpoint states are the same bit for bit."""
    if isinstance(a, torch.Tensor):
        return a.dtype == b.dtype and a.shape == b.shape and torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(equal(a[k], b[k]) for k in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(equal, a, b))
    return a == b or (a != a and b != b)


def final_state(folder: Path) -> dict[str, Any]:
    found = checkpoint.latest(folder / "checkpoints")
    assert found is not None
    return {key: value for key, value in found[1].items() if key != "costs"}


def log(folder: Path) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return [{key: value for key, value in line.items() if key != "seconds"} for line in lines]


def same(a: Path, b: Path) -> None:
    assert equal(final_state(a), final_state(b))
    assert log(a) == log(b)
    grids = sorted(p.name for p in (a / "samples").iterdir())
    assert grids == sorted(p.name for p in (b / "samples").iterdir())
    assert all((a / "samples" / g).read_bytes() == (b / "samples" / g).read_bytes() for g in grids)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an undisturbed training, which tests only read."""
    folder = tmp_path_factory.mktemp("trainer") / "whole"
    make(folder).run()
    return folder


@pytest.mark.slow
@pytest.mark.parametrize(("at", "times"), [(0, 0), (23, 2)], ids=["undisturbed", "with two roll-backs"])
def test_kills_at_random_moments_change_nothing(tmp_path: Path, at: int, times: int) -> None:
    make(tmp_path / "whole", at, times).run()
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.clel.training.trainer_process"])
    chance, kills = random.Random(times), 0
    for attempt in range(200):
        process = context.Process(target=trainer_process.train, args=(tmp_path / "killed", at, times))
        process.start()
        # the first moments of a process go to its start, before the trainer has done anything
        process.join(None if attempt > 8 else chance.uniform(0.02, 0.6))
        if process.exitcode is not None:
            break
        assert process.pid is not None
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        kills += 1
    assert process.exitcode == 0
    assert kills >= 3
    same(tmp_path / "whole", tmp_path / "killed")


def test_a_stop_between_any_two_steps_changes_nothing(whole: Path, tmp_path: Path) -> None:
    for stop in (1, 5, 13, 26):
        trainer = make(tmp_path / "stopped")
        step = trainer.step

        def step_then_signal(trainer: Any = trainer, step: Any = step, stop: int = stop) -> Any:
            losses = step()
            if trainer.iteration == stop:
                os.kill(os.getpid(), signal.SIGTERM)
            return losses

        trainer.step = step_then_signal  # type: ignore[method-assign]
        with pytest.raises(Interrupted, match=f"SIGTERM at iteration {stop}") as stopped:
            trainer.run()
        assert stopped.value.exit_status == 143
    make(tmp_path / "stopped").run()
    same(whole, tmp_path / "stopped")


def test_ctrl_c_saves_and_leaves(tmp_path: Path) -> None:
    trainer = make(tmp_path, train=replace(TRAIN, iterations=100_000, sample_every=0, evaluate_every=0))
    before = signal.getsignal(signal.SIGINT)
    threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT)).start()
    with pytest.raises(Interrupted, match="SIGINT") as stopped:
        trainer.run()
    assert stopped.value.exit_status == 130
    found = checkpoint.latest(tmp_path / "checkpoints")
    assert found is not None and found[0] == trainer.iteration > 0
    assert signal.getsignal(signal.SIGINT) is before


def test_divergence_rolls_back_with_fresh_chains_and_other_noise(whole: Path, tmp_path: Path) -> None:
    trainer = make(tmp_path, at=23, times=2)
    outcome = trainer.run()
    assert (outcome.status, outcome.divergences, outcome.iterations) == ("ok", 2, 40)
    assert outcome.gradient_evaluations == 2 * (24 + 4 + 25)
    lines = log(tmp_path)
    # the second time one checkpoint further: that of 20 may have been saved on the way to the divergence
    assert [(x["iteration"], x["diverged_at"]) for x in lines if x["kind"] == "rollback"] == [(20, 24), (15, 24)]
    assert [x["iteration"] for x in lines if x["kind"] == "train"] == list(range(1, 41))
    assert not equal(final_state(tmp_path)["method"], final_state(whole)["method"])
    assert all(math.isfinite(x["energy_positive"]) for x in lines if x["kind"] == "train")


def test_too_many_divergences_end_the_run_with_the_last_good_weights_and_chains(tmp_path: Path) -> None:
    make(tmp_path / "calm", train=replace(TRAIN, keep=9)).run()
    trainer = make(tmp_path / "bad", at=23, times=99)
    outcome = trainer.run()
    assert outcome.status == "diverged"
    assert outcome.divergences == TRAIN.rollbacks + 1
    assert outcome.reason is not None and "iteration 24" in outcome.reason and "energy_positive = nan" in outcome.reason
    # two scheduled ones are kept, and the older is the last to be gone back to
    assert outcome.iterations == 15
    (calm,) = [path for i, path in checkpoint.listed(tmp_path / "calm" / "checkpoints") if i == 15]
    state, chains = checkpoint.load_checkpoint(calm), trainer.method.chains()
    assert equal(dict(state["average"]), dict(trainer.average.shadow))
    assert chains is not None and torch.equal(state["method"]["buffer.chains"], chains)


def test_runaway_energy_is_a_divergence(tmp_path: Path) -> None:
    trainer = make(tmp_path, train=replace(TRAIN, max_energy=1e-12, rollbacks=0))
    outcome = trainer.run()
    assert outcome.status == "diverged"
    assert outcome.iterations == 0


@pytest.mark.parametrize("at", [19, 39], ids=["before a checkpoint", "in the last step"])
def test_weights_that_a_finite_loss_spoils_are_never_saved_nor_called_ok(tmp_path: Path, at: int) -> None:
    """A finite loss may have a gradient that is not; then the update, not the loss, is what breaks."""
    trainer = make(tmp_path)
    step = trainer.step

    def spoil() -> Any:
        losses = step()
        if trainer.iteration == at + 1 and trainer.divergences == 0:
            next(iter(trainer.method.parameters())).data.fill_(torch.nan)
        return losses

    trainer.step = spoil  # type: ignore[method-assign]
    outcome = trainer.run()
    assert (outcome.status, outcome.divergences, outcome.iterations) == ("ok", 1, 40)
    assert all(bool(p.isfinite().all()) for p in trainer.method.parameters())


def test_a_signal_in_the_last_step_is_not_lost(whole: Path, tmp_path: Path) -> None:
    trainer = make(tmp_path / "last")
    step = trainer.step

    def last() -> Any:
        losses = step()
        if trainer.iteration == TRAIN.iterations:
            os.kill(os.getpid(), signal.SIGTERM)
        return losses

    trainer.step = last  # type: ignore[method-assign]
    with pytest.raises(Interrupted, match="at the end of training"):
        trainer.run()
    assert make(tmp_path / "last").run().iterations == TRAIN.iterations
    same(whole, tmp_path / "last")


def test_a_damaged_newest_checkpoint_costs_only_its_interval(whole: Path, tmp_path: Path) -> None:
    shutil.copytree(whole, tmp_path / "hurt")
    newest = checkpoint.listed(tmp_path / "hurt" / "checkpoints")[-1][1]
    newest.write_bytes(newest.read_bytes()[:-100])
    with pytest.warns(UserWarning, match="damaged"):
        make(tmp_path / "hurt").run()
    same(whole, tmp_path / "hurt")


def test_another_configuration_is_refused_with_its_differences(tmp_path: Path) -> None:
    make(tmp_path, train=replace(TRAIN, iterations=5)).run()
    with pytest.raises(ConfigError, match=r"method\.alpha: 1 -> 2.*Give another folder"):
        make(tmp_path, train=replace(TRAIN, iterations=5), alpha=2.0).run()
    with pytest.raises(ConfigError, match=r"train\.iterations: 5 -> 40"):
        make(tmp_path).run()


def test_the_start_of_another_configuration_blocks_nothing(tmp_path: Path) -> None:
    failed = make(tmp_path, train=replace(TRAIN, iterations=5), alpha=2.0)
    failed.step = lambda: (_ for _ in ()).throw(ConfigError("found out late"))  # type: ignore[method-assign]
    with pytest.raises(ConfigError, match="found out late"):
        failed.run()
    assert [i for i, _ in checkpoint.listed(tmp_path / "checkpoints")] == [0]
    assert make(tmp_path, train=replace(TRAIN, iterations=5)).run().status == "ok"


@pytest.mark.parametrize("now", ["fast (bfloat16)", "fast (float32)"])
def test_another_number_format_is_said(now: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of an engine that is what the machine makes of it."""
    monkeypatch.setattr(CLEL, "engine", "fast (bfloat16)")
    make(tmp_path, train=replace(TRAIN, iterations=5)).run()
    monkeypatch.setattr(CLEL, "engine", now)
    again = make(tmp_path, train=replace(TRAIN, iterations=5))
    if now == "fast (bfloat16)":
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            again.run()
        return
    with pytest.warns(RuntimeWarning, match=r"engine fast \(bfloat16\) so far, goes on with fast \(float32\)"):
        again.run()


def test_logistics_do_not_change_the_result(whole: Path, tmp_path: Path) -> None:
    make(tmp_path / "b", train=replace(TRAIN, log_every=7, evaluate_every=0, sample_every=0, keep=3)).run()
    assert equal(final_state(whole)["method"], final_state(tmp_path / "b")["method"])


def test_training_leaves_the_global_generator_alone(tmp_path: Path) -> None:
    torch.manual_seed(1)
    before = torch.random.get_rng_state()
    make(tmp_path, train=replace(TRAIN, iterations=3)).run()
    assert torch.equal(before, torch.random.get_rng_state())


def test_a_full_disk_leaves_the_last_checkpoint(whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = make(tmp_path / "full")
    real = os.fsync

    def full(descriptor: int) -> None:
        if trainer.iteration == 15:
            raise OSError(28, "No space left on device")
        real(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        trainer.run()
    monkeypatch.undo()
    assert [i for i, _ in checkpoint.listed(tmp_path / "full" / "checkpoints")] == [5, 10]
    assert not list((tmp_path / "full" / "checkpoints").glob(".*tmp"))
    make(tmp_path / "full").run()
    same(whole, tmp_path / "full")


def test_seconds_count_training_alone_and_survive_a_resume(tmp_path: Path) -> None:
    trainer = make(tmp_path, train=replace(TRAIN, iterations=6, evaluate_every=2))
    trainer.probe = lambda method, iteration: time.sleep(0.3) or {}  # type: ignore[func-returns-value]
    began = time.monotonic()
    outcome = trainer.run()
    taken = time.monotonic() - began
    again = make(tmp_path, train=replace(TRAIN, iterations=6)).run()
    assert 0 < outcome.seconds < taken - 3 * 0.3
    assert again.seconds == outcome.seconds
    assert again.gradient_evaluations == 12


def test_tensorboard_beside_the_log(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    make(tmp_path, train=replace(TRAIN, iterations=2, tensorboard=True)).run()
    assert list((tmp_path / "tensorboard").glob("events.out.tfevents*"))
