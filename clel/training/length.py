"""How long a run is trained: a number of iterations, or minutes, which become one by the rate at the run's start.

A run that is given minutes keeps its settings as they are stated, for `train.iterations`, and is named by them and the
minutes. What it trains with is `lasting(run)`: every length (config.LENGTH) times measured / stated iterations.
"""

from __future__ import annotations

import math
from dataclasses import fields, is_dataclass, replace
from typing import Any, TypeVar

T = TypeVar("T")

SOONEST = 0.5
"""Minutes between checkpoints, at least: a large one takes seconds to write."""
FEWEST = 4
"""Checkpoints, however short the training."""


def lasting(run: T) -> T:
    """The run as it is trained: with n measured iterations, of N stated ones, each length L as ceil(n L / N).

    As it is where it is not trained for minutes, or they are not measured yet. Its `train` names no minutes any more.
    """
    train: Any = getattr(run, "train", None)
    n = getattr(train, "measured_iterations", 0)
    if not n:
        return run
    found: Any = scaled(run, n, train.iterations)
    apart = math.ceil(n * min(1 / FEWEST, SOONEST / train.minutes))
    every = max(found.train.checkpoint_every, apart)
    return replace(found, train=replace(found.train, checkpoint_every=every, minutes=0.0, measured_iterations=0))


def scaled(config: T, n: int, of: int) -> T:
    """The configuration with every length in it times n / of, whole numbers rounded up."""
    changes: dict[str, Any] = {}
    for f in fields(config):  # type: ignore[arg-type]
        value = getattr(config, f.name)
        if f.metadata.get("length"):
            changes[f.name] = -(-value * n // of) if isinstance(value, int) else value * n / of
        elif is_dataclass(value):
            changes[f.name] = scaled(value, n, of)
    return replace(config, **changes)  # type: ignore[type-var]
