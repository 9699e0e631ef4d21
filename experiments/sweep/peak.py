"""The most bytes of tensors that some work holds at once: what it keeps for the backward pass, what is computed again
there, gradients, and all that lies between.
"""

from __future__ import annotations

import weakref
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class Peak:
    """Bytes beyond what there was before, `bytes` at most: by the allocator on a GPU, counted on a CPU.

    What kernels take for themselves is counted on a GPU alone.
    """

    def __init__(self, device: torch.device) -> None:
        self.device, self.bytes = device, 0
        self.count = None if device.type == "cuda" else _Storages()

    def __enter__(self) -> Peak:
        if self.count is not None:
            self.count.__enter__()
        else:
            torch.cuda.reset_peak_memory_stats(self.device)
            self.before = torch.cuda.memory_allocated(self.device)
        return self

    def __exit__(self, *error: Any) -> None:
        if self.count is not None:
            self.count.__exit__(*error)
            self.bytes = max(self.count.held)
        else:
            self.bytes = torch.cuda.max_memory_allocated(self.device) - self.before

    @property
    def course(self) -> list[int]:
        """Bytes held after each operation, from the first; empty on a GPU."""
        return [] if self.count is None else self.count.held


def extrapolated(few: Peak, more: Peak, images: tuple[int, int], wanted: int) -> int:
    """The peak on `wanted` images of work that was done on images[0] and on images[1] of them.

    What is held after an operation is a + b n on n images, and where the peak lies depends on n: at few images it may
    be where gradients of weights have piled up, at many where activations have. So a line goes through each operation,
    and the highest one counts. Where the two did not do the same operations, a line goes through their peaks.
    """
    courses = (few.course, more.course)
    if not few.course or len(few.course) != len(more.course):
        courses = ([few.bytes], [more.bytes])
    low, high = images
    return max(a + (b - a) * (wanted - low) // (high - low) for a, b in zip(*courses, strict=True))


class _Storages(TorchDispatchMode):
    """Counts the storages that operations make, each until it is freed."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0
        self.held = [0]
        self.known: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        # a view of what there was before, or a change to it, takes nothing
        old = {_key(t) for t in tree_leaves((args, kwargs)) if isinstance(t, Tensor)}
        out = func(*args, **kwargs)
        for t in tree_leaves(out):
            if isinstance(t, Tensor) and _key(t) not in old and _key(t) not in self.known:
                self._add(t.untyped_storage())
        self.held.append(self.now)
        return out

    def _add(self, storage: torch.UntypedStorage) -> None:
        self.known.add(storage._cdata)
        self.now += storage.nbytes()
        weakref.finalize(storage, self._freed, storage._cdata, storage.nbytes())

    def _freed(self, key: int, size: int) -> None:
        self.known.discard(key)
        self.now -= size


def _key(t: Tensor) -> int:
    return t.untyped_storage()._cdata
