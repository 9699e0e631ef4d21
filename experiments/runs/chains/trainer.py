"""The trainer with several weight averages at once, and copies of the weights from the last iterations."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from clel.data import Images
from clel.methods.method import Method
from clel.methods.settings import TrainConfig
from clel.training.average import Average
from clel.training.trainer import Trainer


class StudyTrainer(Trainer):
    """Trains as `Trainer` does, step for step, and keeps besides:

    Attributes:
        averages: by half-life in images, an Average each, in the order given; half-life 0 is the live weights.
        snapshots: by iteration, a copy of the weights after it; of the last `snapshots` iterations that lie
            `snapshot_every` apart, the last iteration among them.
    """

    def __init__(
        self,
        method: Method,
        images: Images,
        config: TrainConfig,
        folder: Path | str,
        seed: int,
        half_lives: Sequence[float],
        snapshots: int,
        snapshot_every: int,
    ) -> None:
        super().__init__(method, images, config, folder, seed, Path(folder).name)
        self.averages = {half_life: Average(method, half_life) for half_life in half_lives}
        last = config.iterations
        self.snapshot_at = {last - k * snapshot_every for k in range(snapshots)}
        self.snapshots: dict[int, Average] = {}
        self.essence |= {"half_lives": list(half_lives), "snapshots": [snapshots, snapshot_every]}

    def step(self) -> dict[str, Tensor]:
        losses = super().step()
        batch = self.method.config.batch_size
        for average in self.averages.values():
            average.update(self.method, batch, self.iteration * batch)
        if self.iteration in self.snapshot_at:
            self.snapshots[self.iteration] = Average(self.method, 0.0)
        return losses

    def state(self) -> dict[str, Any]:
        return super().state() | {
            "averages": [average.state_dict() for average in self.averages.values()],
            "snapshots": {iteration: snapshot.state_dict() for iteration, snapshot in self.snapshots.items()},
        }

    def restore(self, iteration: int, state: dict[str, Any]) -> None:
        super().restore(iteration, state)
        for average, kept in zip(self.averages.values(), state["averages"], strict=True):
            average.load_state_dict(kept)
        self.snapshots = {}
        for at, kept in state["snapshots"].items():
            self.snapshots[at] = Average(self.method, 0.0)
            self.snapshots[at].load_state_dict({name: torch.as_tensor(value) for name, value in kept.items()})
