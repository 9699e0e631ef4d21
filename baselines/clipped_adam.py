"""Adam whose gradients are clamped by their own mean square, as in VAEBM's release (clel/methods/clipping.py)."""

from __future__ import annotations

from collections.abc import Iterable

from torch import Tensor
from torch.optim import Adam
from torch.optim.lr_scheduler import LambdaLR

from clel.methods.clipping import clip_before_steps
from clel.methods.method import Optimisation

SPARE = 0.1
"""c of IGEBM's and VAEBM's releases."""


def clipped_adam(
    parameters: Iterable[Tensor], lr: float, betas: tuple[float, float], weight_decay: float, clip: bool = True
) -> Optimisation:
    """VAEBM's: Adam at a constant rate, with the clamp before each step if `clip`."""
    optimiser = Adam(list(parameters), lr=lr, betas=betas, weight_decay=weight_decay)
    if clip:
        clip_before_steps(optimiser, spare=SPARE)
    return optimiser, LambdaLR(optimiser, lambda t: 1.0)
