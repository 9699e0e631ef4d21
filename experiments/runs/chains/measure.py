"""What the study measures on a trained run: rows of numbers, one for each kind of chain, weights and number of steps.

kind            the images
    fresh       chains from uniform noise under one set of weights
    continued   the buffer's chains, run on under the last weights, without restarts and without augmentation
    mixture     chains from uniform noise, equally many under each snapshot of the weights
    buffer      the replay buffer as training left it (steps 0)
    held-out    the test split (steps 0): what a good distance is
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from clel.data import Images, to_float, to_uint8
from clel.evaluation.score import CONFIDENT
from clel.features.reference import Reference
from clel.methods.method import Method
from clel.metrics import Moments, frechet_distance
from clel.random import stream
from experiments.runs.chains.settings import LIVE, ChainsRun
from experiments.runs.chains.trainer import StudyTrainer

Row = dict[str, Any]
SEEN = 5000
"""Training images, at most, whose mean energy chains are compared with."""


@dataclass(frozen=True)
class Real:
    """The training split, and its statistics."""

    reference: Reference
    images: Images


def measure_run(run: ChainsRun, trainer: StudyTrainer, real: Real, held_out: Images) -> Iterator[Row]:
    """All rows of a trained run; the same noise starts and drives the chains of every set of weights."""
    own, buffer = trainer.method.config.langevin.noise, trainer.method.chains()
    assert buffer is not None  # chains_run takes methods with a buffer only
    yield from still(trainer, real, {"buffer": buffer, "held-out": to_float(held_out.pixels, None)})
    for half_life in trainer.averages:
        yield from fresh(run, trainer, real, half_life, own)
    yield from fresh(run, trainer, real, LIVE, own, buffer[: run.chains])
    for noise in run.noises:
        yield from fresh(run, trainer, real, LIVE, noise)
    yield from snapshot_mixture(run, trainer, real)


def still(trainer: StudyTrainer, real: Real, images: Mapping[str, Tensor]) -> Iterator[Row]:
    """A row for each named set of images, with its energy under the live weights."""
    method = trainer.method
    with trainer.averages[LIVE].swapped_in(method):
        data = mean_energy(method, to_float(real.images.pixels[:SEEN], None))
        for kind, x in images.items():
            labels = {"kind": kind, "half_life": LIVE, "noise": method.config.langevin.noise, "steps": 0}
            yield labels | describe_images(x, real) | {"energy": mean_energy(method, x), "energy_data": data}


def fresh(
    run: ChainsRun,
    trainer: StudyTrainer,
    real: Real,
    half_life: float,
    noise: float,
    start: Tensor | None = None,
) -> Iterator[Row]:
    """A row for each number of steps of chains from noise, or from the images `start`, under one set of weights."""
    method = trainer.method
    labels = {"kind": "fresh" if start is None else "continued", "half_life": half_life, "noise": noise}
    far = start is None and half_life in run.far and noise == method.config.langevin.noise
    steps = run.steps if far else run.near_steps
    with trainer.averages[half_life].swapped_in(method), sampler_noise(method, noise):
        data = mean_energy(method, to_float(real.images.pixels[:SEEN], None))
        for k, x in trace(method, run.chains, steps, stream(trainer.device, run.seed, "study"), start):
            yield (
                labels
                | {"steps": k}
                | describe_images(x, real)
                | {"energy": mean_energy(method, x), "energy_data": data}
            )


def snapshot_mixture(run: ChainsRun, trainer: StudyTrainer, real: Real) -> Iterator[Row]:
    """A row for each number of steps of as many chains of each snapshot; energies are under the chain's own weights."""
    method, data = trainer.method, to_float(real.images.pixels[:SEEN], None)
    each = -(-run.chains // len(trainer.snapshots))
    images: dict[int, list[Tensor]] = {k: [] for k in run.near_steps}
    energies: dict[int, list[float]] = {k: [] for k in run.near_steps}
    levels = []
    for iteration, snapshot in trainer.snapshots.items():
        with snapshot.swapped_in(method):
            levels.append(mean_energy(method, data))
            for k, x in trace(method, each, run.near_steps, stream(trainer.device, run.seed, "mixture", iteration)):
                images[k].append(x)
                energies[k].append(mean_energy(method, x))
    for k, parts in images.items():
        labels = {"kind": "mixture", "half_life": LIVE, "noise": method.config.langevin.noise, "steps": k}
        numbers = {"energy": _mean(energies[k]), "energy_data": _mean(levels)}
        yield labels | describe_images(torch.cat(parts), real) | numbers


def trace(
    method: Method, n: int, steps: Sequence[int], generator: torch.Generator, start: Tensor | None = None
) -> Iterator[tuple[int, Tensor]]:
    """(k, x [n, C, H, W]) for each k of `steps`, increasing: the same chains, from noise or `start`, after k steps."""
    x, done = (method.sample(n, generator, 0) if start is None else start), 0
    for k in steps:
        x, done = method.continue_chains(x, generator, k - done), k
        yield k, x


@contextmanager
def sampler_noise(method: Method, noise: float) -> Iterator[None]:
    """Inside, the method's chains have noise of this standard deviation."""
    kept = method.config
    method.config = replace(kept, langevin=replace(kept.langevin, noise=noise))
    try:
        yield
    finally:
        method.config = kept


@torch.no_grad()
def mean_energy(method: Method, x: Tensor) -> float:
    """mean E(x) of images [N, C, H, W], under the present weights."""
    return float(torch.cat([method.energy(part).double() for part in x.split(1000)]).mean())


def describe_images(x: Tensor, real: Real) -> Row:
    """Numbers of images [N, C, H, W] in [0, 1].

    distance: Frechet, to the training split. intensity, intensity_data: mean pixel value of the images and of the
    training split, 0 to 1. confident: share with a class above probability 0.9; classes: how many classes those have.
    top_share: share of the class that most images are given; effective_classes: exp of the entropy of the classes
    given, 10 where ten are equally frequent.
    """
    pixels = to_uint8(x).cpu()
    features, probabilities = real.reference.space(pixels)
    confidence, given = probabilities.max(1)
    share = torch.bincount(given, minlength=probabilities.shape[1]).double() / len(given)
    return {
        "n": len(pixels),
        "distance": frechet_distance(Moments.of(features), real.reference.gaussian),
        "intensity": float(pixels.double().mean() / 255),
        "intensity_data": float(real.images.pixels.double().mean() / 255),
        "confident": float((confidence > CONFIDENT).double().mean()),
        "classes": int(given[confidence > CONFIDENT].unique().numel()),
        "top_share": float(share.max()),
        "effective_classes": float(torch.special.entr(share).sum().exp()),
    }


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
