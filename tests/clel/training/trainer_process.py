"""A small training that a test can start in a process of its own, and kill."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from clel import CLEL, BufferConfig, CLELConfig, Images, LangevinConfig, TrainConfig, Trainer
from clel.data.augment import WEAK
from clel.networks.encoder import EncoderConfig
from clel.networks.energy_network import NetworkConfig
from clel.random import seeded

TRAIN = TrainConfig(
    iterations=40, ema_half_life=20.0, checkpoint_every=5, log_every=1, evaluate_every=4, sample_every=7
)


def small_images(n: int = 64, size: int = 8) -> Images:
    """Random images with two labels."""
    generator = torch.Generator().manual_seed(5)
    pixels = torch.randint(0, 256, (n, 1, size, size), dtype=torch.uint8, generator=generator)
    return Images(pixels, torch.arange(n) % 2, classes=("a", "b"))


def small_config(**changes: Any) -> CLELConfig:
    """CLEL so small that an iteration takes some milliseconds, with every source of randomness in use."""
    config = CLELConfig(
        network=NetworkConfig(widths=(4, 8), blocks=1, hidden=16, features=8),
        encoder=EncoderConfig("tiny", width=4, hidden=16, features=8),
        langevin=LangevinConfig(steps=2, noise=0.01),
        buffer=BufferConfig(size=20, restart=0.2, augmentation=WEAK),
        batch_size=8,
        contrastive_batch_size=12,
        lr=1e-3,
        warmup=5,
    )
    return replace(config, **changes)


class Faulty(CLEL):
    """CLEL whose energy is not finite whenever iteration `at` is reached with fewer divergences than `times`."""

    at, times = 0, 0
    trainer: Trainer

    def training_step(self, images: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
        losses = super().training_step(images, generator)
        if self.trainer.iteration == self.at and self.trainer.divergences < self.times:
            losses["energy_positive"] = losses["energy_positive"] * torch.nan
        return losses


def make(folder: Path, at: int = 0, times: int = 0, train: TrainConfig = TRAIN, **changes: Any) -> Trainer:
    """The trainer of a small run; its energy is NaN at iteration `at` for the first `times` tries."""
    torch.set_num_threads(1)
    images = small_images()
    with seeded(0, "initialisation"):
        method = Faulty(small_config(**changes), images.spec)
    method.at, method.times = at, times
    trainer = Trainer(method, images, train, folder, probe=lambda m, i: {"value": m.energy(small_batch()).sum().item()})
    object.__setattr__(method, "trainer", trainer)
    return trainer


def small_batch() -> Tensor:
    """Four images in the middle of the range."""
    return torch.full((4, 1, 8, 8), 0.5)


def train(folder: Path, at: int = 0, times: int = 0) -> None:
    """What the killed process does."""
    make(folder, at, times).run()
