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

PROBE = 4
"""Images in a first measured step."""
PATIENCE = 3.0
"""Seconds that a measured step may take on a whole batch."""


@dataclass(frozen=True)
class Estimate:
    """Seconds of training and sampling of one run on this machine, and bytes at its peak (tensors alone)."""

    seconds: float
    memory: int


def estimate(run: Run[Any], spec: ImageSpec) -> Estimate:
    """Estimate a run from one training step with chains of one step, and a short sampling.

    On a few images at first; where the whole batch would take seconds only, on the whole batch, since small steps have
    a fixed cost. A full step then costs the measured one and the gradients that were left out.
    """
    few = _measure(run, spec, min(PROBE, run.config.batch_size))
    whole = few.seconds * run.config.batch_size / few.images
    measured = _measure(run, spec, run.config.batch_size) if whole < PATIENCE else few
    share = run.config.batch_size / measured.images
    full = build(run, METHODS, spec, torch.device("meta")).gradient_evaluations_per_step
    step = share * (measured.seconds + (full - measured.gradients) * measured.gradient_seconds)
    e = run.evaluate
    drawn = sum(e.sampling_seeds if protocol == "clean" else 1 for protocol in e.protocols)
    chain = measured.gradient_seconds / measured.images * e.steps * drawn
    return Estimate(
        step * run.train.iterations + chain * e.samples,
        int(measured.fixed_bytes + share * measured.saved_bytes),
    )


@dataclass(frozen=True)
class _Measured:
    """One training step on `images` images with `gradients` input gradients in it, and one such gradient apart.

    fixed_bytes: weights, gradients, Adam's two moments, the average, and buffers. saved_bytes: what the step saves for
    its backward pass. The interpreter and the libraries are not counted.
    """

    images: int
    gradients: int
    seconds: float
    gradient_seconds: float
    fixed_bytes: int
    saved_bytes: int


def _measure(run: Run[Any], spec: ImageSpec, images: int) -> _Measured:
    device = choose_device(run.device)
    config = shrunk(run.config, run.config.batch_size / images)
    method = build(replace(run, config=config), METHODS, spec, device)
    method.reset_chains(stream(device, run.seed, "plan"))
    (optimiser, _), *_ = method.optimisers(1)
    x = torch.rand(method.images_per_step, *spec.shape, device=device)

    def step() -> None:
        optimiser.zero_grad(set_to_none=True)
        method.training_step(x, stream(device, run.seed, "plan"))["loss"].backward()

    with _SavedBytes() as saved:
        step()
    weights, buffers = (sum(t.nbytes for t in tensors) for tensors in (method.parameters(), method.buffers()))
    return _Measured(
        images,
        method.gradient_evaluations_per_step,
        _timed(step, device),
        _timed(lambda: method.sample(images, stream(device, run.seed, "plan"), 3), device) / 3,
        5 * weights + buffers,
        saved.total,
    )


def shrunk(config: Any, share: float) -> Any:
    """A method's configuration with batch sizes divided by `share`, at least 2 for batch norm, and one-step chains."""
    changes = {f.name: max(2, round(getattr(config, f.name) / share)) for f in fields(config) if "batch_size" in f.name}
    if hasattr(config, "langevin"):
        changes["langevin"] = replace(config.langevin, steps=1)
    return replace(config, **changes)


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
    lines = [f"{'row':<20}{'runs':>5}{'done':>6}{'iterations':>12}{'time a run':>16}{'MB a run':>10}"]
    total = 0.0
    for row, members in by_row(cells).items():
        done = sum(finished(cell, runs) for cell in members)
        run = members[0].run
        line = f"{row:<20}{len(members):>5}{done:>6}"
        if isinstance(run, Run):
            guess = estimate(run, _spec(run.dataset))
            total += guess.seconds * (len(members) - done)
            line += f"{run.train.iterations:>12}{_long(guess.seconds):>16}{guess.memory / 1e6:>10.0f}"
        lines.append(line)
    left = f"{_long(total)} of work on this machine, about {_long(total / workers)} with {workers} at a time"
    note = "estimated from one small training step and sampling a row; memory without interpreter and libraries"
    return "\n".join([*lines, "", left, note, f"runs would go to {runs}; nothing was run"])


def _long(seconds: float) -> str:
    return duration(seconds) if seconds < 86_400 else f"{seconds / 3600:,.0f} hours"


def by_row(cells: Sequence[Cell]) -> dict[str, list[Cell]]:
    """The cells of each row of the table."""
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
