"""Settings of the quick profile that its methods share: 8x8 digits, minutes on one core."""

from __future__ import annotations

from typing import Any

from clel.chains.langevin import BufferConfig, LangevinConfig
from clel.data.augment import NONE, AugmentConfig
from clel.methods.settings import EvaluateConfig, TrainConfig

DIGIT_VIEWS = AugmentConfig(crop_scale=(0.5, 1.0), jitter=(0.4, 0.4, 0.0, 0.0), jitter_probability=0.8)
"""Views of digits: no flips, which would turn one digit into another, and crops that leave a digit recognisable."""


def quick_ebm() -> dict[str, Any]:
    """Settings that the quick EBMs on digits share: chains of 30 steps, each from noise (docs/reference/deviations.md).

    Restart rate, cool-down, half-life of the average and steps of evaluation: measured, in docs/log/chains.md.
    """
    return {
        "langevin": LangevinConfig(steps=30),
        "buffer": BufferConfig(size=1000, restart=1.0, augmentation=NONE),
        "lr": 1e-3,
        "warmup": 100,
        "cooldown": 0.25,
    }


def quick_train() -> TrainConfig:
    """The trainer's settings for quick runs on digits."""
    return TrainConfig(
        iterations=900,
        ema_half_life=1_100.0,
        checkpoint_every=100,
        log_every=10,
        evaluate_every=100,
        sample_every=200,
    )


def quick_evaluate() -> EvaluateConfig:
    """The evaluation of quick runs on digits: as many steps as a chain takes in training; and what follows."""
    return EvaluateConfig(samples=1000, steps=30, rounds=6, beyond=5.0)
