"""How much `speed-memory` measures at each profile: the images' shape, rounds, and how long one of them may take."""

from __future__ import annotations

from dataclasses import dataclass

from clel.data import ImageSpec

DIGITS = ImageSpec(1, 8, (0.3,), (0.35,))
COLOUR16 = ImageSpec(3, 16, (0.5, 0.5, 0.5), (0.25, 0.25, 0.25))
COLOUR32 = ImageSpec(3, 32, (0.5, 0.5, 0.5), (0.25, 0.25, 0.25))


@dataclass(frozen=True)
class Effort:
    """What a profile measures, and how patiently.

    Attributes:
        spec: shape of the images, one for all methods. They are random: a step's cost does not hang on what they show.
        device: where it runs unless another is asked for.
        rounds: measured repetitions at most, after `warmup` that are not; at least LEAST.
        seconds: the rounds of one quantity take about so long, at most.
        patience: seconds that one iteration may take; a longer one is measured with fewer Langevin steps and composed.
        matrices, images: sides of the square matrices, and batches of the convolutions, to find the ceiling.
    """

    spec: ImageSpec
    device: str = "auto"
    rounds: int = 20
    warmup: int = 2
    seconds: float = 20.0
    patience: float = 30.0
    matrices: tuple[int, ...] = (1024, 2048, 4096, 8192)
    images: tuple[int, ...] = (32, 128)


LEAST = 3
"""Rounds of any quantity, however long they take."""

EFFORTS = {
    "smoke": Effort(DIGITS, "cpu", 3, 1, 0.5, 1.0, matrices=(256,), images=(8,)),
    "quick": Effort(DIGITS, "cpu", 15, 2, 3.0, 5.0, matrices=(512, 1024, 2048), images=(16, 64)),
    "evening": Effort(COLOUR16, rounds=10, seconds=10.0, matrices=(512, 1024, 2048)),
    "small": Effort(COLOUR32),
    "paper": Effort(COLOUR32, seconds=40.0, patience=60.0),
}
