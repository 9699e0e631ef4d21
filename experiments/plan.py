"""What a sweep would take: time from a few measured gradients on this machine, memory from tensors and activations."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from baselines import METHODS
from clel.data import DataError, ImageSpec, load
from clel.log import duration
from clel.random import stream
from clel.resources import now
from clel.run import Run, build, choose_device
from experiments.grid import Cell
from experiments.launch import finished

PROBE = 8
"""Images in a measured step."""


@dataclass(frozen=True)
class Estimate:
    """Seconds of training and sampling of one run on this machine, and bytes at its peak (tensors alone)."""

    seconds: float
    memory: int


def estimate(run: Run[Any], spec: ImageSpec) -> Estimate:
    """Estimate a run from one training step and one short sampling, each on a few images, after a first go.

    Both scale with their images, except that a step has a fixed cost that is counted once an image too often: the
    estimate errs on the high side. Memory counts weights, gradients, Adam's two moments, the average, buffers, the
    data set and what one step saves for its backward pass; not the interpreter and the libraries.
    """
    device = choose_device(run.device)
    share = max(1.0, run.config.batch_size / PROBE)
    small = replace(run, config=shrunk(run.config, share), train=replace(run.train, iterations=2))
    method = build(small, METHODS, spec, device)
    method.reset_chains(stream(device, run.seed, "plan"))
    (optimiser, _), *_ = method.optimisers(1)
    images = torch.rand(method.images_per_step, *spec.shape, device=device)

    def step() -> None:
        optimiser.zero_grad(set_to_none=True)
        method.training_step(images, stream(device, run.seed, "plan"))["loss"].backward()

    with _SavedBytes() as saved:
        step()
    seconds = _timed(step, device) * share
    chain = _timed(lambda: method.sample(PROBE, stream(device, run.seed, "plan"), 4), device) / (4 * PROBE)
    weights = sum(p.nbytes for p in method.parameters())
    chains = method.chains()
    buffer = 0 if chains is None else chains.nbytes
    return Estimate(
        seconds * run.train.iterations + chain * run.evaluate.samples * run.evaluate.steps,
        int(5 * weights + buffer + saved.total * share),
    )


def shrunk(config: Any, share: float) -> Any:
    """A method's configuration with every batch size divided by `share`, at least 2 (batch norm needs two images)."""
    sizes = {f.name: max(2, round(getattr(config, f.name) / share)) for f in fields(config) if "batch_size" in f.name}
    return replace(config, **sizes)


class _SavedBytes:
    """Counts the bytes that autograd saves while entered, each storage once."""

    def __enter__(self) -> _SavedBytes:
        self.storages: dict[int, int] = {}
        self.hooks = torch.autograd.graph.saved_tensors_hooks(self._note, lambda tensor: tensor)
        self.hooks.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self.hooks.__exit__(*error)

    def _note(self, tensor: Tensor) -> Tensor:
        self.storages[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    @property
    def total(self) -> int:
        return sum(self.storages.values())


def _timed(work: Callable[[], Any], device: torch.device) -> float:
    began = now(device)
    work()
    return now(device) - began


def describe(cells: Sequence[Cell], runs: Path, workers: int) -> str:
    """The plan as text: a line a row with its runs, how many are finished, and estimates of time and memory."""
    lines = [f"{'row':<20}{'runs':>5}{'done':>6}{'iterations':>12}{'hours a run':>13}{'MB a run':>10}"]
    total = 0.0
    for row, members in _by_row(cells).items():
        done = sum(finished(cell, runs) for cell in members)
        run = members[0].run
        line = f"{row:<20}{len(members):>5}{done:>6}"
        if isinstance(run, Run):
            guess = estimate(run, _spec(run.dataset))
            total += guess.seconds * (len(members) - done)
            line += f"{run.train.iterations:>12}{guess.seconds / 3600:>13.2f}{guess.memory / 1e6:>10.0f}"
        lines.append(line)
    left = f"{duration(total)} of work on this machine, about {duration(total / workers)} with {workers} at a time"
    note = "estimated from one small training step and sampling a row; memory without interpreter and libraries"
    return "\n".join([*lines, "", left, note, f"runs would go to {runs}; nothing was run"])


def _by_row(cells: Sequence[Cell]) -> dict[str, list[Cell]]:
    rows: dict[str, list[Cell]] = {}
    for cell in cells:
        rows.setdefault(cell.row, []).append(cell)
    return rows


def _spec(dataset: str) -> ImageSpec:
    """The data set's spec; where it is not there, that of 32x32 colour images, since a plan must not need the data."""
    try:
        return load(dataset, "train").spec
    except DataError:
        return ImageSpec(3, 32, (0.5, 0.5, 0.5), (0.25, 0.25, 0.25))
