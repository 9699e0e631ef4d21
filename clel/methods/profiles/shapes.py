"""Settings of CLEL on `shapes` at 16x16, whose attributes are composed: a quarter of an hour on two cores."""

from __future__ import annotations

from typing import Any

from clel.chains.langevin import BufferConfig, LangevinConfig
from clel.data.augment import NONE, AugmentConfig
from clel.methods.settings import EvaluateConfig, TrainConfig
from clel.networks.energy_network import NetworkConfig

SHAPE_VIEWS = AugmentConfig(
    crop_scale=(0.8, 1.0), crop_ratio=(1.0, 1.0), flip=0.5, jitter=(0.3, 0.2, 0.0, 0.0), jitter_probability=0.8
)
"""Views of `shapes` that leave colour, size, background and shape as they are, and take the side from the latent.

A square crop of at least 0.8 of the area changes a radius by 1.12 at most, where the sizes differ by 1.33 and more.
Hue and saturation are not touched: the latent holds what the views leave alone."""
NETWORK = NetworkConfig(widths=(24, 48, 64), blocks=1, hidden=256, features=64)
"""f and g: three stages, narrower than `tiny` at full resolution; the units of the last see the whole of 16x16."""


def shapes_ebm() -> dict[str, Any]:
    """Chains of 30 steps, each from noise, of half as many images as the contrastive batch has.

    With less noise in a step they stay noise, and longer trainings end in energies that they cannot follow
    (docs/log/README.md, "noise in a Langevin step").
    """
    return {
        "batch_size": 32,
        "langevin": LangevinConfig(steps=30, noise=0.01),
        "buffer": BufferConfig(size=1000, restart=1.0, augmentation=NONE),
        "lr": 5e-4,
        "warmup": 100,
        "cooldown": 0.5,
    }


def shapes_train() -> TrainConfig:
    """The trainer's settings."""
    return TrainConfig(
        iterations=900, ema_half_life=3_000.0, checkpoint_every=100, log_every=10, evaluate_every=0, sample_every=150
    )


def shapes_evaluate() -> EvaluateConfig:
    """As many steps as a chain takes in training."""
    return EvaluateConfig(samples=500, steps=30)
