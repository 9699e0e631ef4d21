"""Floating-point operations of matrix products and convolutions, counted as they are called.

A multiplication and an addition are two operations. Elementwise work, pooling and norms are not counted, as is usual.
"""

from __future__ import annotations

from typing import Any

from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry


class FlopCount(TorchDispatchMode):
    """Counts, while entered, in `total`; forward, backward, and input gradients within a step alike.

    The formulas are those of torch.utils.flop_counter. Its own mode follows modules by hooks that torch.autograd.grad,
    which every Langevin step calls, does not allow.
    """

    def __init__(self) -> None:
        super().__init__()
        self.total = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        formula = flop_registry.get(func._overloadpacket)
        if formula is not None:
            self.total += formula(*args, **(kwargs or {}), out_val=out)
        return out
