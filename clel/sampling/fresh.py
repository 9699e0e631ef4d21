"""Fresh samples: chains from noise, run in rounds under a protocol, in memory or in files that can be resumed."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from clel.chains.protocol import CLEAN, Protocol
from clel.config import ConfigError, choose
from clel.data import DataError, to_uint8
from clel.methods.method import Method
from clel.methods.settings import EvaluateConfig
from clel.random import stream
from clel.storage.atomic import naming_damage, replacing, write_atomically
from clel.storage.log import progress

FOLLOWED = 5_000
"""Chains that are followed beyond the steps of an evaluation, at most."""


def takes_up_chains(method: type[Method]) -> bool:
    """Whether the method can go on from an image: what sampling in rounds, and any protocol that disturbs, need."""
    return method.continue_chains is not Method.continue_chains


def goes_on(method: type[Method]) -> bool:
    """Whether chains go on beyond their steps; those of other methods are sampled anew with more of them."""
    return takes_up_chains(method) or method.follow is not Method.follow


def further_steps(method: type[Method], config: EvaluateConfig) -> tuple[int, ...]:
    """Steps after which the method's chains are measured on the way beyond config.steps, these first; none if not."""
    totals = config.further_steps
    # sampling anew costs each number of steps as a whole
    return totals if goes_on(method) else totals[:1] + totals[-1:]


def own_protocols(method: type[Method], config: Any) -> Mapping[str, Protocol]:
    """The protocols that a method with these settings has, by name: clean, and paper where it states one."""
    disturbed = method.disturbed(config)
    return {"clean": CLEAN} | ({} if disturbed is None else {"paper": disturbed})


def refuse_rounds(method: type[Method], config: Any, evaluate: EvaluateConfig) -> None:
    """Raise ConfigError, before training and not after, where the method cannot be sampled as is asked."""
    own = own_protocols(method, config)
    for name in evaluate.protocols:
        if name not in own:
            raise ConfigError(
                f"{method.title} has no protocol {name!r} of its own: leave evaluate.protocols (--protocol) at clean"
            )
    if not takes_up_chains(method) and (evaluate.rounds > 1 or any(own[name].disturbs for name in evaluate.protocols)):
        raise ConfigError(
            f"{method.title} samples from noise to the end and cannot take a chain up again: "
            'leave evaluate.rounds at 1 and evaluate.protocols at ("clean",)'
        )


@torch.no_grad()
def rounds(
    method: Method, n: int, config: EvaluateConfig, protocol: Protocol, generator: torch.Generator
) -> Iterator[Tensor]:
    """n chains [n, C, H, W] in [0, 1], new from uniform noise, after each round of Langevin steps."""
    x: Tensor | None = None
    for steps in config.round_steps:
        if x is None and not protocol.disturbs:
            x = method.sample(n, generator, steps)
        else:
            start = torch.rand(n, *method.spec.shape, generator=generator, device=generator.device) if x is None else x
            x = method.continue_chains(protocol.before_round(start, generator), generator, steps)
        yield x


def draw_fresh(
    method: Method,
    n: int,
    config: EvaluateConfig,
    seed: int,
    name: str = "",
    label: str = "sample",
    protocol: str = "clean",
) -> Tensor:
    """n fresh samples, uint8 [n, C, H, W] on the CPU, each batch from its own random stream."""
    parts: list[Tensor] = []
    with progress(name, n, unit="sample") as shown:
        for pixels in batches(method, n, config, seed, label, protocol):
            parts.append(pixels)
            shown.update(len(pixels))
    return torch.cat(parts)


def batches(
    method: Method, n: int, config: EvaluateConfig, seed: int, label: str = "sample", protocol: str = "clean"
) -> Iterator[Tensor]:
    """The samples of `draw_fresh` batch by batch, uint8 [m, C, H, W] each, for who may have to stop before the last."""
    for start in range(0, n, config.batch):
        yield _batch(method, start, min(config.batch, n - start), config, protocol, seed, label)[-1]


@dataclass(frozen=True)
class SampleFiles:
    """Samples in files of a folder, one a batch, each uint8 [rounds, m, C, H, W]: the state after every round."""

    folder: Path
    n: int
    batch: int
    rounds: int

    def pixels(self, number: int = -1) -> Iterator[Tensor]:
        """uint8 [m, C, H, W] after round `number`, batch by batch, in order."""
        for start in range(0, self.n, self.batch):
            with naming_damage(_file(self.folder, start), "remove it, and the same command draws these samples again"):
                pixels = torch.from_numpy(np.load(_file(self.folder, start))[number])
            if len(pixels) != min(self.batch, self.n - start):
                raise DataError(
                    f"{_file(self.folder, start)}: {len(pixels)} images, of another batch: remove {self.folder}"
                )
            yield pixels

    def gather(self, path: Path) -> None:
        """Write the samples after the last round as one array file [n, C, H, W], without holding them all."""
        first = next(self.pixels())
        with replacing(path) as file:
            header = {"descr": "|u1", "fortran_order": False, "shape": (self.n, *first.shape[1:])}
            np.lib.format.write_array_header_1_0(file, header)
            for pixels in self.pixels():
                file.write(pixels.contiguous().numpy().data)


def draw_into(
    folder: Path,
    method: Method,
    config: EvaluateConfig,
    protocol: str,
    seed: int,
    label: str,
    name: str,
    totals: Sequence[int] = (),
) -> SampleFiles:
    """config.samples fresh samples as files in `folder`; those that an earlier, interrupted call left there are kept.

    With `totals` the states are those after so many steps (Method.follow), not those after the configuration's rounds.

    The batch is halved as often as the GPU's memory demands. Since each batch has random numbers of its own, samples
    depend on the batch; that of an interrupted call is taken over with its files.
    """
    folder.mkdir(parents=True, exist_ok=True)
    left = folder / "batch"
    batch = min(config.batch, config.samples)
    if left.exists():
        with naming_damage(left, f"remove {folder}, and the same command draws its samples again"):
            batch = int(left.read_text())
    while True:
        write_atomically(left, f"{batch}\n")
        try:
            with progress(name, config.samples, unit="sample") as shown:
                for start in range(0, config.samples, batch):
                    n = min(batch, config.samples - start)
                    if not _file(folder, start).exists():
                        _save(_file(folder, start), _batch(method, start, n, config, protocol, seed, label, totals))
                    shown.update(n)
            return SampleFiles(folder, config.samples, batch, len(totals or config.round_steps))
        except (torch.cuda.OutOfMemoryError, MemoryError):
            if batch == 1:
                raise
            batch = max(1, batch // 2)
            for path in folder.glob("*.npy"):
                path.unlink()
        # outside the handler, where the failed batch's tensors are no longer referred to
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def _batch(
    method: Method,
    start: int,
    n: int,
    config: EvaluateConfig,
    protocol: str,
    seed: int,
    label: str,
    totals: Sequence[int] = (),
) -> list[Tensor]:
    """The batch that begins at sample `start`: uint8 [n, C, H, W] on the CPU after each round, or each of `totals`."""
    device = next(method.parameters()).device
    generator = stream(device, seed, label, start)
    if totals:
        states = method.follow(n, generator, totals)
    else:
        chosen = choose(own_protocols(type(method), method.config), protocol, f"protocol of {method.title}")
        states = rounds(method, n, config, chosen, generator)
    return [to_uint8(x).cpu() for x in states]


def _file(folder: Path, start: int) -> Path:
    return folder / f"samples-{start:08d}.npy"


def _save(path: Path, states: list[Tensor]) -> None:
    memory = io.BytesIO()
    np.save(memory, torch.stack(states).numpy())
    write_atomically(path, memory.getvalue())
