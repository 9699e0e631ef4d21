"""IGEBM's and VAEBM's clamps of the gradient, in training; their rules are in tests/clel/methods/test_clipping.py."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from baselines.clipped_adam import clipped_adam
from baselines.igebm import IGEBM
from clel import TrainConfig, Trainer
from clel.chains.langevin import BufferConfig
from clel.config import ConfigError
from tests.clel.training.trainer_process import small_images


def trained(folder: Path, stops: tuple[int, ...] = (), **clamp: Any) -> dict[str, torch.Tensor]:
    """The state after five iterations, interrupted when iterations `stops` are about to begin."""
    torch.set_num_threads(1)
    config = replace(
        IGEBM.recipe("quick").config, widths=(4, 6), batch_size=4, buffer=BufferConfig(8), lr=0.01, **clamp
    )
    config = replace(config, langevin=replace(config.langevin, steps=2))
    train = TrainConfig(iterations=5, checkpoint_every=2, log_every=1, sample_every=0)
    for stop in (*stops, None):
        images = small_images()
        trainer = Trainer(IGEBM.build(config, images.spec, 0), images, train, folder)
        step = trainer.step

        def dying(trainer: Trainer = trainer, stop: int | None = stop, step: object = step) -> object:
            if trainer.iteration == stop:
                raise KeyboardInterrupt
            return step()  # type: ignore[operator]

        trainer.step = dying  # type: ignore[method-assign, assignment]
        if stop is None:
            trainer.run()
            return trainer.method.state_dict()
        with pytest.raises(KeyboardInterrupt):
            trainer.run()
    raise AssertionError


@pytest.mark.parametrize("clamp", [{"clip": True}, {"clip_sigmas": 0.5}])
def test_a_resumed_run_clips_on(clamp: dict[str, Any], tmp_path: Path) -> None:
    whole, halves, free = (
        trained(tmp_path / name, stops, **changes)
        for name, stops, changes in (("whole", (), clamp), ("halves", (3,), clamp), ("free", (), {}))
    )
    assert all(torch.equal(whole[name], halves[name]) for name in whole)
    assert not all(torch.equal(whole[name], free[name]) for name in whole)


@pytest.mark.parametrize(("preset", "clip"), [("quick", False), ("small", True), ("paper", True)])
def test_presets(preset: str, clip: bool) -> None:
    """By what the preset's optimiser does to a gradient of 1 before its first step: 0.1 is left."""
    config = replace(IGEBM.recipe(preset).config, widths=(4,), blocks=1)
    method = IGEBM.build(config, small_images().spec)
    (optimiser, _), *_ = method.optimisers(10)
    for p in method.parameters():
        p.grad = torch.ones_like(p)
    optimiser.step()
    assert all(torch.equal(p.grad, torch.full_like(p, 0.1 if clip else 1.0)) for p in method.parameters())  # type: ignore[arg-type]


@pytest.mark.parametrize(("clip", "left"), [(True, [3.1, 0.05]), (False, [100.0, 0.05])])
def test_vaebm_clamps_from_the_second_step_on(clip: bool, left: list[float]) -> None:
    p = torch.nn.Parameter(torch.zeros(2))
    optimiser, _ = clipped_adam([p], 0.0, (0.0, 0.5), 0.0, clip)
    for g in ([1.0, 0.0], [100.0, 0.05]):
        p.grad = torch.tensor(g)
        optimiser.step()
    torch.testing.assert_close(p.grad, torch.tensor(left))


def test_two_clamps_of_one_gradient_are_refused() -> None:
    with pytest.raises(ConfigError, match="clip and clip_sigmas clamp the same gradient; set one"):
        replace(IGEBM.recipe("paper").config, clip_sigmas=3.0)
