"""The rate of a training, measured at a run's start on a method that is thrown away, and the iterations it makes of
minutes."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from clel.data import Images
from clel.machine.costs import now
from clel.random import stream
from clel.runs.config import Methods, Run, build
from clel.training.length import lasting
from clel.training.trainer import Trainer

WARM_UP = 5
"""Iterations of each stage that are not counted: compiling, graphs, the allocator."""
SHARE = 0.01
"""Of the minutes, the time that the counted iterations of a stage take at least."""
LONG = 10**9
"""Iterations of the training that is tried, whose learning rate thus hardly begins to rise."""


def timed(run: Run[Any], methods: Methods, images: Images) -> Run[Any]:
    """The run with `measured_iterations` = 60 minutes / sum_s f_s t_s of its stages s: shares f_s, seconds t_s each.

    As it is where it is not trained for minutes, or they were measured before.
    """
    if not run.train.minutes or run.train.measured_iterations:
        return run
    mean = seconds_per_iteration(run, methods, images)
    n = max(1, round(60 * run.train.minutes / mean))
    print(f"{run.name}: {mean:.4g} s an iteration, {n} iterations in {run.train.minutes:g} minutes", file=sys.stderr)
    return replace(run, train=replace(run.train, measured_iterations=n))


def seconds_per_iteration(run: Run[Any], methods: Methods, images: Images) -> float:
    """Mean seconds of an iteration over the stages, in the proportion in which a training has them."""
    device = images.pixels.device
    tried = lasting(replace(run, train=replace(run.train, measured_iterations=LONG)))
    method = build(tried, methods, images.spec, device)
    method.reset_chains(stream(device, run.seed, "chains", 0))
    # the folder is not written to: only `run` would
    trainer = Trainer(method, images, tried.train, Path("."), run.seed)
    ledger = trainer.ledger
    mean = 0.0
    for end, stage in zip(ledger.ends, ledger.stages, strict=True):
        if stage.iterations:
            trainer.iteration = end - stage.iterations
            mean += stage.iterations / LONG * _seconds(trainer, SHARE * 60 * run.train.minutes)
    if device.type == "cuda":
        del trainer, method
        torch.cuda.empty_cache()
    return mean


def _seconds(trainer: Trainer, least: float) -> float:
    """Seconds of an iteration: of as many, without a wait between them, as take `least` seconds."""
    for _ in range(WARM_UP):
        trainer.step()
    n = 1
    while True:
        began = now(trainer.device)
        for _ in range(n):
            trainer.step()
        taken = now(trainer.device) - began
        if taken >= least:
            return taken / n
        n *= 2
