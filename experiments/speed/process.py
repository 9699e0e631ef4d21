"""Settings of a process that measures: those of one that trains."""

from __future__ import annotations

from typing import Any

import torch

from clel.machine.allocator import let_engines_tune, tune_allocator
from clel.machine.processor import float32_means_float32
from clel.storage.provenance import provenance


def as_in_training(engine: str | None = "fast") -> None:
    """The allocator's settings of a program that trains with the engine; float32 means float32. Before any tensor."""
    let_engines_tune()
    tune_allocator(engine)
    float32_means_float32()


def provenance_of_measurements(device: torch.device) -> dict[str, Any]:
    """clel.storage.provenance of what processes with these settings measure, for the command that starts them."""
    return provenance(device) | {"tf32": False, "allocator": "each engine's own settings"}
