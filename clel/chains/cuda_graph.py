"""Langevin steps recorded once and replayed: on CUDA a step of a small network costs more to launch than to compute.

Everything that a recording reads or writes has a fixed place: the chain, the noise of its steps, and the weights of the
energy, which are refreshed in place. Noise is drawn outside, by the caller's generator, so that samples are the same
with and without recordings.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from contextlib import nullcontext

import torch
from torch import Tensor

from clel.chains.energy import Energy
from clel.chains.langevin import LangevinConfig, draws_noise, langevin_step
from clel.chains.switches import FallbackWarning

Recorder = Callable[[Callable[[], None]], Callable[[], None]]
"""work -> what replays it; work reads and writes the same memory at every call."""

WARM_UP = 3
"""Runs before recording, in which libraries choose their algorithms and allocate workspaces (torch's CUDA notes)."""

KEPT = 4
"""Recordings kept, each with memory of its own, those used last: training's shape, and a few of samplers."""


def cuda_graph(work: Callable[[], None]) -> Callable[[], None]:
    """Record `work` as a graph of the present CUDA device and return its replay; RuntimeError where it cannot be."""
    present, side = torch.cuda.current_stream(), torch.cuda.Stream()
    side.wait_stream(present)
    try:
        with torch.cuda.stream(side):
            for _ in range(WARM_UP):
                work()
        present.wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, stream=side):  # torch's own stream is of the device that recorded first
            work()
    finally:
        torch.cuda.set_stream(present)  # a recording that fails leaves its own
        present.wait_stream(side)  # and the work that it began
    return graph.replay


class Recordings:
    """Recorded Langevin steps of one energy, one recording for each shape and setting met.

    Args:
        record: how to record; CUDA graphs by default, anything that replays in tests.
    """

    def __init__(self, record: Recorder = cuda_graph) -> None:
        self.record = record
        self.known: dict[tuple[object, ...], RecordedSteps] = {}

    def steps(self, energy: Energy, x: Tensor, config: LangevinConfig, length: int) -> RecordedSteps:
        """`length` steps for chains like x: the block of `langevin`."""
        key = (id(energy), tuple(x.shape), x.dtype, x.device, config, length)
        recorded = self.known.pop(key, None)
        if recorded is None:
            while len(self.known) >= KEPT:
                del self.known[next(iter(self.known))]
            recorded = RecordedSteps(energy, x, config, length, self.record)
        self.known[key] = recorded  # the last to go
        return recorded

    def __deepcopy__(self, memo: object) -> Recordings:
        """Without recordings: they hold the memory of the original."""
        return Recordings(self.record)


class RecordedSteps:
    """`length` steps with memory of their own; plain steps where recording fails, which is said once."""

    def __init__(self, energy: Energy, x: Tensor, config: LangevinConfig, length: int, record: Recorder) -> None:
        self.energy, self.config, self.length = energy, config, length
        self.x = x.detach().clone()
        self.noise = [torch.zeros_like(x) for _ in range(length)]
        place = torch.cuda.device(x.device) if x.device.type == "cuda" else nullcontext()
        try:
            with place:  # a graph records the current device's stream, which need not be the chain's
                self.replay = record(self.steps)
        except torch.OutOfMemoryError:
            raise  # a smaller batch may fit, as whoever samples knows
        except RuntimeError as error:
            warnings.warn(f"chains run step by step: recording them failed ({error})", FallbackWarning, stacklevel=4)
            self.replay = self.steps

    def steps(self) -> None:
        for noise in self.noise:
            langevin_step(self.energy, self.x, noise, self.config)

    def run(self, x: Tensor, generator: torch.Generator) -> None:
        """Take the steps from x, in place."""
        if draws_noise(self.config):
            for noise in self.noise:
                noise.normal_(generator=generator)
        self.x.copy_(x)
        self.replay()
        x.copy_(self.x)
