"""What hyper-parameters can be: finite, and those of a name that several methods have within one range."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import fields
from typing import Any

from clel.config import ConfigError

Accepts = Callable[[Any], bool]

_RATE: tuple[Accepts, str] = (lambda v: 0 < v <= 10, "a learning rate above 0, at most 10")
_COUNT: tuple[Accepts, str] = (lambda v: v >= 1, "at least 1")
_SIZE: tuple[Accepts, str] = (lambda v: 1 <= v <= 2**16, "1 to 65,536")
_WEIGHT: tuple[Accepts, str] = (lambda v: v >= 0, "0 or more")
_BELOW_ONE: tuple[Accepts, str] = (lambda v: 0 <= v < 1, "0 to 1, without 1")
_SHARE: tuple[Accepts, str] = (lambda v: 0 <= v <= 1, "0 to 1")

RANGES: dict[str, tuple[Accepts, str]] = {
    **dict.fromkeys(("lr", "encoder_lr"), _RATE),
    **dict.fromkeys(("betas", "encoder_momentum", "dropout", "byol_decay"), _BELOW_ONE),
    **dict.fromkeys(("alpha", "beta", "noise", "sample_noise", "spectral", "temperature", "lr_end"), _WEIGHT),
    **dict.fromkeys(("weight_decay", "encoder_weight_decay", "steps"), _WEIGHT),
    **dict.fromkeys(("warmup", "kl_warmup", "anneal"), _WEIGHT),
    **dict.fromkeys(("batch_size", "size"), _COUNT),
    **dict.fromkeys(("widths", "blocks", "width", "hidden", "features", "towers", "multipliers"), _SIZE),
    **dict.fromkeys(("groups", "latents", "cells", "outer_cells", "expansion", "components"), _SIZE),
    **dict.fromkeys(("cooldown", "slope", "restart", "probability", "kl_least"), _SHARE),
    **dict.fromkeys(("step_size", "step_variance", "init_std"), (lambda v: v > 0, "a number above 0")),
}
"""By a field's name, what is accepted of its value, or of each of its values."""
MOST = 10**15
"""The largest whole number: nothing is counted further here, and not much beyond it kernels do not count at all."""


def require_ranges(config: Any) -> None:
    """Raise ConfigError where a number of the dataclass `config` is not finite, or outside its name's range."""
    for field in fields(config):
        name, value = field.name, getattr(config, field.name)
        accepts, words = RANGES.get(name, (math.isfinite, ""))
        for v in value if isinstance(value, tuple) else (value,):
            if not isinstance(v, int | float):
                continue
            if isinstance(v, int) and abs(v) > MOST:
                raise ConfigError(f"{name} is too large; expected at most {MOST:,}")
            if not math.isfinite(v):
                raise ConfigError(f"{name} is {value}; expected finite numbers")
            if not accepts(v):
                raise ConfigError(f"{name} is {value}; expected {words}")
        if value == () and name in RANGES:
            raise ConfigError(f"{name} is empty; expected one number or more")
