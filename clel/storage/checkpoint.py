"""Checkpoints that a kill at any moment, a full disk or a torn file cannot cost a run.

A file is written whole under a temporary name, flushed to disk, and renamed. Its name carries the first digits of its
SHA-256, so that a damaged file is recognised and the one before it is used. Files hold tensors and plain containers
only and are read with weights_only=True.
"""

from __future__ import annotations

import hashlib
import io
import re
import warnings
from pathlib import Path
from typing import Any

import torch

from clel.storage.atomic import write_atomically
from clel.storage.log import Notice

NAME = re.compile(r"iteration-(\d{9})-([0-9a-f]{12})\.pt")


class CheckpointError(RuntimeError):
    """A checkpoint that cannot be used; the message names the file or the folder."""


def save(folder: Path, iteration: int, state: dict[str, Any], keep: int = 2, every: int = 1) -> Path:
    """Save `state` (tensors and plain containers) as the checkpoint of `iteration`; then drop what is not needed.

    Kept are this one and, of those before it at multiples of `every`, the newest `keep`; a run that goes back drops
    the future that it left.

    Raises:
        OSError: the disk is full or not writable; earlier checkpoints are untouched.
    """
    folder.mkdir(parents=True, exist_ok=True)
    memory = io.BytesIO()
    torch.save(state, memory)
    data = memory.getvalue()
    path = folder / f"iteration-{iteration:09d}-{hashlib.sha256(data).hexdigest()[:12]}.pt"
    write_atomically(path, data)
    scheduled = [p for i, p in listed(folder) if i % every == 0 and i <= iteration and (i < iteration or p == path)]
    for _, old in listed(folder):
        if old != path and old not in scheduled[-keep:]:
            old.unlink(missing_ok=True)
    return path


def drop_after(folder: Path, iteration: int) -> None:
    """Remove the checkpoints of later iterations: a future that the run has given up."""
    for i, path in listed(folder):
        if i > iteration:
            path.unlink(missing_ok=True)


def listed(folder: Path) -> list[tuple[int, Path]]:
    """(iteration, path) of the checkpoints in `folder`, oldest first."""
    found = [(int(m[1]), p) for p in folder.glob("iteration-*.pt") if (m := NAME.fullmatch(p.name))]
    return sorted(found)


def load_checkpoint(path: Path) -> dict[str, Any]:
    """The verified content of one checkpoint, on the CPU.

    Raises:
        CheckpointError: the file's content does not match the hash in its name, or cannot be read.
    """
    match = NAME.fullmatch(path.name)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read: {error}") from error
    if match is None or hashlib.sha256(data).hexdigest()[:12] != match[2]:
        raise CheckpointError(f"{path}: damaged: its content does not match the hash in its name")
    return torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)


def newest(folder: Path, multiple_of: int = 1, back: int = 0) -> tuple[Path, dict[str, Any]] | None:
    """(path, state) of the newest readable checkpoint at a multiple of `multiple_of`; None where there is none.

    With `back`, of the one that many before it, or of the oldest. A damaged file is passed over with a warning and the
    one before it is used.
    """
    found = None
    for iteration, path in reversed(listed(folder)):
        if iteration % multiple_of == 0 and back >= 0:
            try:
                found = path, load_checkpoint(path)
                back -= 1
            except CheckpointError as error:
                warnings.warn(f"{error}; the checkpoint before it is taken, if any", Notice, stacklevel=2)
    return found


def latest(folder: Path, multiple_of: int = 1, back: int = 0) -> tuple[int, dict[str, Any]] | None:
    """(iteration, state) of `newest`."""
    found = newest(folder, multiple_of, back)
    return None if found is None else (_iteration(found[0]), found[1])


def _iteration(path: Path) -> int:
    match = NAME.fullmatch(path.name)
    assert match is not None
    return int(match[1])
