"""What one run would take on this machine: time from a few measured steps, memory from tensors and activations."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any

import torch

from baselines import METHODS
from clel.data import ImageSpec
from clel.machine.costs import now
from clel.methods.method import Method
from clel.methods.stages import Ledger, Stage
from clel.random import stream
from clel.runs.config import Run, build, choose_device
from clel.sampling.fresh import FOLLOWED, further_steps, goes_on
from experiments.sweep.peak import Peak, extrapolated

PROBE = 4
"""Images in a first measured step."""
PATIENCE = 3.0
"""Seconds that a measured step may take on a whole batch."""
REPEAT = 1.0
"""Seconds after which a measurement is not repeated."""
SAMPLING = 3
"""Sampling steps that are measured, where the evaluation has more."""


@dataclass(frozen=True)
class Estimate:
    """Seconds of training and sampling of one run on this machine, and bytes at its peak (tensors alone).

    iterations: of training; what its minutes come to where it is trained for a time.
    """

    seconds: float
    memory: int
    iterations: int


def estimate(run: Run[Any], spec: ImageSpec) -> Estimate:
    """Estimate a run from a training step of each of its stages, with chains of one step, and a short sampling.

    On a few images at first; where the whole batch would take seconds only, on the whole batch, since small steps have
    a fixed cost. A full step then costs the measured one and the gradients that were left out. Memory of a batch too
    large to be measured follows from that of two small ones.
    """
    iterations = run.train.iterations
    stages = build(run, METHODS, spec, torch.device("meta")).stages(iterations)
    ledger = Ledger(stages, iterations, run.config.batch_size)
    seconds, memory = 0.0, 0
    for number, (stage, images) in enumerate(zip(stages, ledger.batches, strict=True)):
        if stage.iterations == 0:
            continue
        measured = _measure(run, spec, number, images, min(PROBE, images))
        if measured.seconds * images / measured.images < PATIENCE:
            measured = _measure(run, spec, number, images, images)
        share = images / measured.images
        step = measured.seconds + (stage.gradient_evaluations - measured.gradients) * measured.gradient_seconds
        seconds += share * step * stage.iterations
        memory = max(memory, measured.fixed_bytes + _peak(run, spec, number, images, measured))
    e = run.evaluate
    drawn = sum(e.sampling_seeds if protocol == "clean" else 1 for protocol in e.protocols)
    chains: float = drawn * e.samples
    if further := further_steps(METHODS[run.method], e):
        steps = further[-1] if goes_on(METHODS[run.method]) else sum(further)
        chains += min(e.samples, FOLLOWED) * steps / e.steps
    sampling = measured.sampling_seconds / measured.images * chains
    if run.train.minutes:
        iterations, seconds = max(1, round(iterations * 60 * run.train.minutes / seconds)), 60 * run.train.minutes
    return Estimate(seconds + sampling, memory, iterations)


@dataclass(frozen=True)
class _Measured:
    """A training step on `images` images with `gradients` input gradients in it, one such gradient, and a sampling.

    fixed_bytes: weights, Adam's two moments, the average, and buffers. held: what the step makes, gradients of weights
    among it. The interpreter and the libraries are not counted, nor what an optimiser's step takes for itself.
    """

    images: int
    gradients: int
    seconds: float
    gradient_seconds: float
    sampling_seconds: float
    fixed_bytes: int
    held: Peak


def _measure(run: Run[Any], spec: ImageSpec, number: int, batch: int, images: int) -> _Measured:
    """Measure stage `number`, with all batches in the proportion in which `images` are to that stage's own `batch`."""
    device = choose_device(run.device)
    method, stage, step = _prepared(run, spec, number, batch, images)
    with Peak(device) as held:
        step()
    weights, buffers = (sum(t.nbytes for t in tensors) for tensors in (method.parameters(), method.buffers()))
    gradient, sampling = _sampling(method, stage, images, run.evaluate.steps, device)
    fixed = 4 * weights + buffers
    return _Measured(images, stage.gradient_evaluations, _timed(step, device), gradient, sampling, fixed, held)


def _peak(run: Run[Any], spec: ImageSpec, number: int, images: int, measured: _Measured) -> int:
    """The most bytes that a step of stage `number` holds on `images` images."""
    if measured.images == images:
        return measured.held.bytes
    fewer = max(2, measured.images // 2)
    _, _, step = _prepared(run, spec, number, images, fewer)
    with Peak(choose_device(run.device)) as held:
        step()
    return extrapolated(held, measured.held, (fewer, measured.images), images)


def _prepared(
    run: Run[Any], spec: ImageSpec, number: int, batch: int, images: int
) -> tuple[Method, Stage, Callable[[], None]]:
    """The method about to train its stage `number` on `images` images instead of `batch`, and a step's work."""
    device = choose_device(run.device)
    method = build(replace(run, config=shrunk(run.config, batch / images)), METHODS, spec, device)
    method.reset_chains(stream(device, run.seed, "plan"))
    x = torch.rand(method.images_per_step, *spec.shape, device=device)
    for entered in range(1, number + 1):
        method.enter_stage(entered, dict(method.named_parameters()), x, stream(device, run.seed, "plan"))
    optimisers = [optimiser for optimiser, _ in method.optimisers(run.train.iterations)]
    stage = method.stages(run.train.iterations)[number]

    def step() -> None:
        for optimiser in optimisers:
            optimiser.zero_grad(set_to_none=True)
        method.training_step(x, stream(device, run.seed, "plan"))["loss"].backward()

    return method, stage, step


def _sampling(method: Method, stage: Stage, images: int, steps: int, device: torch.device) -> tuple[float, float]:
    """Seconds of one input gradient of a chain, 0 in a stage without chains, and of sampling with `steps` steps."""

    def sample(steps: int) -> float:
        return _timed(lambda: method.sample(images, stream(device, 0, "plan"), steps), device)

    few = min(SAMPLING, steps)
    start, sampled = sample(0), sample(few)
    if few == 0:
        return 0.0, start
    gradient = max(0.0, sampled - start) / few
    return (gradient if stage.gradient_evaluations else 0.0), start + gradient * steps


def shrunk(config: Any, share: float) -> Any:
    """A method's configuration with batch sizes divided by `share`, at least 2 for batch norm, and one-step chains."""
    changes = {f.name: max(2, round(getattr(config, f.name) / share)) for f in fields(config) if "batch_size" in f.name}
    return with_steps(replace(config, **changes), 1)


def with_steps(config: Any, steps: int) -> Any:
    """The configuration with chains of so many Langevin steps; as it is where it has none."""
    if not hasattr(config, "langevin"):
        return config
    return replace(config, langevin=replace(config.langevin, steps=steps))


def _timed(work: Callable[[], Any], device: torch.device) -> float:
    """Seconds of the work; the shortest of three where it is short, since other programs only ever add to it."""
    taken: list[float] = []
    while len(taken) < 3 and sum(taken) < REPEAT:
        began = now(device)
        work()
        taken.append(now(device) - began)
    return min(taken)
