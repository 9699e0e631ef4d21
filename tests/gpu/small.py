"""What the tests of this folder share: small methods on colour images with known chains, on a device."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import interpolate
from torch.utils._python_dispatch import TorchDispatchMode

from baselines import METHODS
from baselines.igebm import IGEBM
from clel import TrainConfig, Trainer
from clel.chains.langevin import LangevinConfig
from clel.chains.switches import Switches, switches
from clel.data import Images, ImageSpec
from clel.data.augment import STRONG
from clel.random import stream

GPU = pytest.param("cuda", marks=pytest.mark.gpu)
on_gpu = pytest.mark.parametrize("device", [GPU], indirect=True)
"""For what has no other form on the CPU, or a test of its own among those of the package."""

CPU = torch.device("cpu")
SPEC = ImageSpec(3, 16, (0.5, 0.4, 0.3), (0.25, 0.2, 0.3))
STEPS, CHUNK = 12, 5
"""Steps of a chain, and of a recording: two replays, and two plain steps."""
CHAIN = LangevinConfig(steps=STEPS, step_size=20.0, noise=0.005)


def build(kind: Any, engine: str, device: torch.device, spec: ImageSpec = SPEC, **changes: Any) -> Any:
    """The quick method with chains of CHAIN, its energies large enough for chains to follow them."""
    config = kind.recipe("quick").config
    buffer = replace(config.buffer, size=96, restart=0.2, augmentation=STRONG)
    changes = {"engine": engine, "langevin": CHAIN, "buffer": buffer, "batch_size": 16} | changes
    if "contrastive_batch_size" in vars(config):
        changes = {"contrastive_batch_size": 24, "views": STRONG} | changes
    if issubclass(kind, IGEBM):
        changes = {"dropout": 0.2} | changes
    method = kind.build(replace(config, **changes), spec)
    if not issubclass(kind, IGEBM):
        with torch.no_grad():
            for layer in (0, 2):
                method.network.head[layer].weight.mul_(10)
    return method.to(device).train()


def with_graphs(kind: Any, chunk: int, compiled: bool = False) -> Any:
    """The method with `chunk` steps a recording, where an engine records any (0: none), compiled only if asked for."""

    def chosen(method: Any) -> Switches:
        found = switches(method.config.engine, method.device)
        return replace(
            found, compiled=compiled and found.by_hand, graph_steps=chunk if method.device.type == "cuda" else 0
        )

    return type(kind.__name__, (kind,), {"switches": property(chosen)})


def smooth(n: int = 16) -> Tensor:
    """Images [n, 3, 16, 16] on the CPU."""
    coarse = torch.rand(n, 3, 4, 4, generator=torch.Generator().manual_seed(1))
    return interpolate(coarse, size=16, mode="bicubic").clamp(0, 1)


def pictures(device: torch.device, n: int = 72) -> Images:
    """Training images: three batches of CLEL's an epoch."""
    return Images((smooth(n) * 255).to(torch.uint8), name="smooth").to(device)


def trainer(name: str, engine: str | None, device: torch.device, folder: Path, iterations: int = 4) -> Trainer:
    """Of a method of that name, freshly initialised."""
    kind: Any = METHODS[name]
    config = kind.recipe("quick").config
    if engine is not None:
        method = build(kind, engine, device)
    else:
        sizes = {field: 8 for field in vars(config) if field.endswith("batch_size")}
        method = kind.build(replace(config, **sizes), SPEC).to(device)
    train = TrainConfig(iterations=iterations, checkpoint_every=2, log_every=1, sample_every=0, max_energy=1e6)
    return Trainer(method, pictures(device), train, folder)


def seeded(device: torch.device, seed: int = 0) -> torch.Generator:
    return stream(device, seed, "test")


INDEXED = ("index", "index_put", "index_put_")


class Waits(TorchDispatchMode):
    """RuntimeError where a program reads values, takes a shape from them, or makes a tensor of its own numbers."""

    WAITS = ("_local_scalar_dense", "nonzero", "masked_select", "lift_fresh", "unique", "repeat_interleave")

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func._schema.name.removeprefix("aten::")
        masks = [i for i in args[1] if i is not None and i.dtype == torch.bool] if name in INDEXED else []
        if name.startswith(self.WAITS) or masks:
            raise RuntimeError(f"{name}: on a GPU the program would wait here for all that it asked for")
        return func(*args, **(kwargs or {}))


@contextmanager
def no_waiting(device: torch.device) -> Iterator[None]:
    """Inside, waiting for the GPU is an error; on the CPU, what would be such waiting."""
    if device.type == "cpu":
        with Waits():
            yield
        return
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")
