"""The input gradient by hand, compiled: what lies between two convolutions becomes one pass over memory.

For CUDA, where no convolution takes its neighbours in (kernels.py). The kernels are then recorded in a graph like
all others (cuda_graph.py).
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable
from types import FunctionType
from typing import Any

import torch
from torch import Tensor

from clel.chains.switches import FallbackWarning

Work = Callable[[Tensor], Tensor]

SHAPES = 4
"""Shapes of a batch that are compiled, each for a minute or so: training's, and a few of samplers."""

TOLERANCE = 0.1
"""Relative difference that is let pass: in bfloat16 another rounding changes the sign of activations near 0."""


def inductor(work: Work, backend: str = "inductor") -> Work:
    """torch's compiler: Triton on CUDA, a C++ compiler on a CPU."""

    def run(x: Tensor) -> Tensor:
        return work(x)

    # torch keeps eight compiled versions of one piece of code, and refuses any more; so each has a piece of its own
    own = FunctionType(run.__code__.replace(), run.__globals__, run.__name__, None, run.__closure__)
    return torch.compile(own, dynamic=False, fullgraph=True, backend=backend)


class Compiled:
    """x [N, C, H, W] -> work(x), compiled for the first SHAPES shapes when each is met, and compared with `work` once.

    Where compiling fails or gives something else, `work` itself is done from then on, and a FallbackWarning says why.

    Args:
        work: from one tensor to one; it does not look at values, and keeps its weights where they are.
        compiler: what compiles.
    """

    def __init__(self, work: Work, compiler: Callable[[Work], Work] = inductor) -> None:
        self.work, self.compiler = work, compiler
        self.known: dict[tuple[object, ...], Work] = {}
        self.failed = False

    @torch.no_grad()
    def __call__(self, x: Tensor) -> Tensor:
        if self.failed:
            return self.work(x)
        try:
            return self._compiled(x)
        except torch.OutOfMemoryError:
            raise  # a smaller batch may fit, as whoever samples knows
        except Exception as error:  # noqa: BLE001 - a compiler calls other programs and may meet anything, later too
            self.failed = True
            reason = str(error).strip().partition("\n")[0]
            warnings.warn(f"chains run without compiled kernels: {reason}", FallbackWarning, stacklevel=4)
            return self.work(x)

    def _compiled(self, x: Tensor) -> Tensor:
        key = (tuple(x.shape), x.stride(), x.dtype, x.device)
        if key not in self.known:
            if len(self.known) >= SHAPES:
                return self.work(x)
            expected = self.work(x)
            if not bool(expected.isfinite().all()):
                return expected  # a training that diverges says nothing of a compiler
            self.known[key] = self._held(x, expected)
        return self.known[key](x)

    def _held(self, x: Tensor, expected: Tensor) -> Work:
        """`work` compiled; RuntimeError where that gives something else for x than `expected`."""
        compiled = self.compiler(self.work)
        with warnings.catch_warnings():
            # of Python 3.13.0, about the cost of a call's checks: nothing that a user can act on in a training
            warnings.filterwarnings("ignore", "Guards may run slower", RuntimeWarning)
            difference, scale = float((compiled(x) - expected).norm()), float(expected.norm())
        if not difference <= TOLERANCE * scale:
            raise RuntimeError(f"compiled, dE/dx differs by {difference:.3g}; its norm is {scale:.3g}")
        return compiled

    def __deepcopy__(self, memo: dict[int, Any]) -> Compiled:
        """Compiled anew: what is compiled reads the weights of the original."""
        return Compiled(copy.deepcopy(self.work, memo), self.compiler)
