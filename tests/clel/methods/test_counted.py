"""What an iteration counts, by docs/reference/deviations.md: power iterations of norms, images of the average."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn.utils.parametrizations import _SpectralNorm

from clel import CLEL, TrainConfig, Trainer
from tests.clel.training.trainer_process import small_config, small_images


def trainer(folder: Path, engine: Any, steps: int, half_life: float = 1.0, **changes: Any) -> Trainer:
    images = small_images()
    config = small_config(engine=engine, **changes)
    method = CLEL.build(replace(config, langevin=replace(config.langevin, steps=steps)), images.spec)
    method.reset_chains(torch.Generator().manual_seed(0))
    return Trainer(method, images, TrainConfig(iterations=9, ema_half_life=half_life), folder)


@pytest.mark.parametrize("steps", [2, 5])
@pytest.mark.parametrize("engine", ["fast", "float32", "bfloat16", "exact"])
def test_power_iterations(engine: str, steps: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One before the chain and one in the loss; of exact one a Langevin step, as the authors have it, and one there."""
    run = trainer(tmp_path, engine, steps)
    run.step()  # after which the view of the chains is there
    real, made = _SpectralNorm._power_method, []

    def counted(self: Any, *arguments: Any) -> None:
        made.append(self)
        real(self, *arguments)

    monkeypatch.setattr(_SpectralNorm, "_power_method", counted)
    run.step()
    norms = [m for m in run.method.modules() if isinstance(m, _SpectralNorm)]
    assert norms and [made.count(m) for m in norms] == [steps + 1 if engine == "exact" else 2] * len(norms)


def test_images_of_the_average(tmp_path: Path) -> None:
    """d = 0.5^(batch / half-life) with the EBM's batch, however large the contrastive one is."""
    run = trainer(tmp_path, "float32", 2, half_life=16.0, batch_size=8, contrastive_batch_size=32)
    name, live = next(iter(run.method.named_parameters()))
    for t in range(4):
        before = run.average.shadow[name].clone()
        run.step()
        d = 0.0 if (t + 1) * 8 <= 16 else 0.5 ** (8 / 16)
        torch.testing.assert_close(run.average.shadow[name], d * before + (1 - d) * live.detach())
