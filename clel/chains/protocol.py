"""How chains are run for a measurement: the clean protocol, and those by which releases disturb chains between rounds.

A sample is a chain from uniform noise that is run in rounds of equal length. docs/reference/protocol.md tells what the
difference between the two does to a number.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from clel.chains.langevin import restarted
from clel.data.augment import NONE, STRONG, AugmentConfig, augment


@dataclass(frozen=True)
class Protocol:
    """What happens to the chains before each round of Langevin steps.

    Attributes:
        restart: probability that a chain starts anew from uniform noise.
        augmentation: random transformation of each chain, the restarted ones included.
    """

    restart: float
    augmentation: AugmentConfig

    @property
    def disturbs(self) -> bool:
        """Whether the chains are anything but one chain from noise to the end."""
        return self.restart > 0 or self.augmentation != NONE

    def before_round(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """Chains [N, C, H, W] in [0, 1] as a round takes them up; the first round starts from noise."""
        if not self.disturbs:
            return x
        return augment(restarted(x, self.restart, generator), self.augmentation, generator)


PROTOCOLS = {
    "clean": "each chain from noise to the end",
    "paper": "chains disturbed before each round, as the method's own authors do",
}
CLEAN = Protocol(restart=0.0, augmentation=NONE)


def training_sampler(style: Literal["simclr", "kornia"]) -> Protocol:
    """CLEL's `paper`: the sampler of training as it is, before every round, the first and the last included.

    [authors' test_fid.py]
    """
    return Protocol(restart=0.001, augmentation=replace(STRONG, style=style))
