"""What `engine` stands for: the switches by which chains and training passes are made fast, each on its own.

exact     float32, the live network, a power iteration of spectral norm a forward: what the others must agree with
float32   chains on a frozen view (clel/networks/frozen.py)
bfloat16  the same, its network in bfloat16
fast      every switch that pays on this device (docs/log/engine.md has what each was found to bring)
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn
from torch.nn.utils import parametrize

from clel.machine.processor import prefers_bfloat16

Engine = Literal["float32", "bfloat16", "exact", "fast"]


class FallbackWarning(RuntimeWarning):
    """A part of the engine does not work on this machine; the plainer way is taken, which takes more time."""


@dataclass(frozen=True)
class Switches:
    """How chains and training passes are computed. Images, noise, updates and energies are float32 whatever is set."""

    frozen: bool = True
    """Chains run on a frozen view: spectral norm folded once an iteration; otherwise on the live network."""
    chain_dtype: torch.dtype = torch.float32
    """Number format of the network in chains."""
    by_hand: bool = False
    """Input gradients by a method's own code, where it has some for its network, instead of autograd."""
    channels_last: bool = False
    """Images enter networks channels-last, in chains and in training."""
    in_pieces: bool = False
    """Chains evaluate as many images at a time as fit a core's cache, where the gradient is made by hand."""
    training_dtype: torch.dtype = torch.float32
    """Number format of the convolutions of training passes (autocast); heads and losses stay float32."""
    shared_views: bool = False
    """One encoder pass an iteration: the latent that guides x+ is that of its first contrastive view."""
    recomputed: bool = False
    """The encoder's largest activations are computed again in the backward pass and not kept."""
    training_piece: int = 0
    """Bytes of the largest activation of as many images as a training pass of the energy network takes at a time, to
    compute them again on the way back; 0: all images, and their activations kept."""
    fused_optimisers: bool = False
    """One kernel for all weights of an optimiser."""
    compiled: bool = False
    """Gradients by hand go through torch.compile (clel/chains/compiled.py)."""
    graph_steps: int = 0
    """Langevin steps in one recorded CUDA graph; 0: none."""


def switches(engine: Engine, device: torch.device) -> Switches:
    """The switches of an engine on `device`."""
    if engine == "exact":
        return Switches(frozen=False)
    if engine != "fast":
        return Switches(chain_dtype=getattr(torch, engine))
    dtype = torch.bfloat16 if prefers_bfloat16(device) else torch.float32
    known = device.type in ("cpu", "cuda")
    return Switches(
        chain_dtype=dtype,
        by_hand=True,
        channels_last=known,
        in_pieces=device.type == "cpu",
        training_dtype=dtype,
        shared_views=True,
        recomputed=True,
        training_piece=2 << 20 if device.type == "cpu" else 0,
        fused_optimisers=known,
        compiled=device.type == "cuda",
        graph_steps=10 if device.type == "cuda" else 0,
    )


def stated(engine: Engine, device: torch.device) -> str:
    """The engine in words for a protocol: what `fast` came down to depends on the machine."""
    if engine != "fast":
        return engine
    return f"fast ({str(switches(engine, device).chain_dtype).removeprefix('torch.')})"


def engine_of(method: Any) -> str:
    """The engine of a method's chains in words; float32 where it has no choice of one."""
    return str(getattr(method, "engine", None) or getattr(method.config, "engine", "float32"))


def warn_of_another_engine(began: str | None, now: str, folder: Path) -> None:
    """Say that a run goes on in other rounding: `fast` is what a machine makes of it, and this may be another machine.

    Args:
        began: the engine in words, as its checkpoint has it; None of a checkpoint that does not say.
    """
    if began not in (None, now):
        warnings.warn(
            f"{folder}: trained with engine {began} so far, goes on with {now} and so in other rounding; "
            "the engines float32 and bfloat16 are the same on every machine",
            RuntimeWarning,
            stacklevel=3,
        )


@contextmanager
def training_pass(network: nn.Module, dtype: torch.dtype, device: torch.device) -> Iterator[None]:
    """Inside, one forward of `network` multiplies in `dtype`, by autocast.

    Parametrised weights are computed before autocast begins: it would round spectral norm's power iteration too.
    """
    with parametrize.cached():
        for module in network.modules():
            if parametrize.is_parametrized(module):
                for name in module.parametrizations:  # type: ignore[union-attr]
                    getattr(module, name)
        with torch.autocast(device.type, dtype):
            yield
