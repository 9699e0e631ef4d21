"""Settings of the evening profile that its methods share: natural images of 16x16, an evening on a desktop."""

from __future__ import annotations

from typing import Any

from clel.chains.langevin import BufferConfig, LangevinConfig
from clel.data.augment import NONE, STRONG
from clel.methods.settings import EvaluateConfig, TrainConfig
from clel.networks.energy_network import NetworkConfig

ITERATIONS = 1500
COOLDOWN = 0.7
"""Share of the iterations, from the 450th on, over which the rate falls, of all methods with chains of images. At a
constant rate energies leave their chains behind after a thousand (docs/log/README.md, "evening's cool-down")."""
NETWORK = NetworkConfig(widths=(64, 64, 128), blocks=1, hidden=512)
"""f and g: three stages between `tiny` and `small`; 0.64 million parameters."""


def evening_ebm() -> dict[str, Any]:
    """Settings that the evening EBMs share: chains of 40 steps, each from noise (docs/reference/deviations.md)."""
    return {
        "langevin": LangevinConfig(steps=40),
        "buffer": BufferConfig(size=2000, restart=1.0, augmentation=NONE),
        "lr": 1e-3,
        "warmup": 100,
        "cooldown": COOLDOWN,
    }


def persistent() -> dict[str, Any]:
    """The paper's recipe instead: chains go on from the buffer, augmented, and 0.1 % of them start anew.

    At the learning rate at which it was tried (experiments/tuning.csv).
    """
    return {"buffer": BufferConfig(size=2000, restart=0.001, augmentation=STRONG), "lr": 5e-4}


def evening_train(iterations: int = ITERATIONS) -> TrainConfig:
    """The trainer's settings for evening runs: five looks on the way."""
    return TrainConfig(
        iterations=iterations,
        ema_half_life=3_000.0,
        checkpoint_every=100,
        log_every=10,
        evaluate_every=iterations // 5,
        evaluate_samples=1500,
        representation_images=5000,
        sample_every=iterations // 5,
    )


def evening_evaluate(steps: int = 40, rounds: int = 4) -> EvaluateConfig:
    """3,000 samples, of as many steps as a chain takes in training, and what follows."""
    return EvaluateConfig(
        samples=3000, steps=steps, rounds=rounds, features="lite0", bootstrap=50, beyond=5.0 if steps else 1.0
    )
