"""The essence of a training: what a checkpoint states of it, and a resuming run must agree with."""

from __future__ import annotations

from typing import Any

from clel.config import essential
from clel.data import Images
from clel.methods.method import Method
from clel.methods.settings import TrainConfig

TRAINING = ("iterations", "ema_half_life", "checkpoint_every", "rollbacks", "max_energy")
"""Fields of TrainConfig that change the weights."""


def essence(method: Method, train: TrainConfig, seed: int, images: Images) -> dict[str, Any]:
    """Plain values by name: the method's settings, those of training that change the weights, seed, images."""
    return {
        "method": essential(method.config),
        "train": {name: getattr(train, name) for name in TRAINING},
        "seed": seed,
        "images": images_essence(images),
    }


def images_essence(images: Images) -> str:
    """What a checkpoint says of the images that it was trained on."""
    return "of content " + images.content_hash()[:12]
