"""Settings of a process that measures: those of one that trains."""

from __future__ import annotations

import torch

from clel.allocator import tune_allocator


def as_in_training() -> None:
    """The allocator's settings of a program that trains; float32 means float32. Before any tensor is made."""
    tune_allocator()
    torch.backends.cudnn.allow_tf32 = False
