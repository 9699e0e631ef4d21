"""Random streams that need no saved state: each is named by a seed and labels, such as ("train", attempt, iteration).

A run that resumes at iteration t builds the very generators that the undisturbed run would have used there, so a
checkpoint holds no generator state and a kill at any moment changes nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

import torch


def fold(seed: int, *labels: str | int) -> int:
    """A 63-bit seed, a hash of (seed, labels): streams with different labels are independent."""
    digest = hashlib.blake2b(repr((seed, *labels)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def stream(device: torch.device | str, seed: int, *labels: str | int) -> torch.Generator:
    """A fresh generator on `device` for the stream (seed, labels)."""
    return torch.Generator(device=device).manual_seed(fold(seed, *labels))


@contextmanager
def seeded(seed: int, *labels: str | int) -> Iterator[None]:
    """Inside, torch's global generators follow the stream (seed, labels); afterwards they are as they were.

    For what takes no generator: layer initialisation and dropout.
    """
    # a CPU run must not wake the GPUs
    devices = [torch.cuda.current_device()] if torch.cuda.is_initialized() else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(fold(seed, *labels))
        yield
