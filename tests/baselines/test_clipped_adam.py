"""Adam's gradients clamped by their mean square: IGEBM's rule over several steps, VAEBM's in test_vaebm.py."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from baselines.clipped_adam import clip_before_steps
from baselines.igebm import IGEBM
from clel import TrainConfig, Trainer
from clel.chains.langevin import BufferConfig
from tests.clel.training.trainer_process import small_images


def test_the_step_about_to_be_taken_counts() -> None:
    """g <- clamp(g, +-(3 sqrt(v / (1 - beta^t)) + 0.1)) with v of before step t, and Adam by hand with what is left."""
    lr, beta, eps = 0.01, 0.9, 1e-8
    p = nn.Parameter(torch.zeros(4))
    adam = torch.optim.Adam([p], lr=lr, betas=(0.0, beta))
    clip_before_steps(adam, ahead=1)
    weights, v, bound_met = np.zeros(4), np.zeros(4), 0
    for t, g in enumerate(([1.0, 0.05, 0, -2], [-1.0, 5, 0.05, 2], [9.0, -9, 9, 0.2], [0.3, -0.3, 4, -4]), start=1):
        p.grad = torch.tensor(g)
        bound = 3 * np.sqrt(v / (1 - beta**t)) + 0.1
        bound_met += int((np.abs(g) > bound).sum())
        clamped = np.clip(g, -bound, bound)
        adam.step()
        v = beta * v + (1 - beta) * clamped**2
        weights -= lr * clamped / (np.sqrt(v / (1 - beta**t)) + eps)
        np.testing.assert_allclose(p.detach(), weights, rtol=1e-5, atol=1e-9)
    assert 4 < bound_met < 16


def trained(folder: Path, clip: bool, stops: tuple[int, ...] = ()) -> dict[str, torch.Tensor]:
    """The state after five iterations, interrupted when iterations `stops` are about to begin."""
    torch.set_num_threads(1)
    config = replace(
        IGEBM.recipe("quick").config, clip=clip, widths=(4, 6), batch_size=4, buffer=BufferConfig(8), lr=0.01
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


def test_a_resumed_run_clips_on(tmp_path: Path) -> None:
    whole, halves, free = (
        trained(tmp_path / name, clip, stops)
        for name, clip, stops in (("whole", True, ()), ("halves", True, (3,)), ("free", False, ()))
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
