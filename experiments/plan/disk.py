"""Disk space that runs take, from the sizes of what they write: checkpoints, samples, and features while measured."""

from __future__ import annotations

import math
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from baselines import METHODS
from clel.data import ImageSpec
from clel.runs.config import Run, build
from clel.sampling.fresh import FOLLOWED, further_steps
from clel.storage.atomic import in_bytes

FEATURES = 4 * 2048
"""Bytes of the features of an image in the widest usual space, Inception's."""


@dataclass(frozen=True)
class Disk:
    """Bytes of a run's folder: `kept` once it has ended, `most` while it goes on."""

    kept: int
    most: int


def disk(run: Run[Any], spec: ImageSpec) -> Disk:
    """What the run takes; logs and images of samples, some MB, are not counted.

    A checkpoint holds weights and buffers, chains among them, the average, and two moments of each trained weight.
    Samples of an evaluation are kept; while it goes on those after every round, and features, lie beside them.
    """
    method = build(run, METHODS, spec, torch.device("meta"))
    optimisers = [optimiser for optimiser, _ in method.optimisers(run.train.iterations)]
    trained = [p for optimiser in optimisers for group in optimiser.param_groups for p in group["params"]]
    checkpoint = sum(t.nbytes for t in (*method.state_dict().values(), *method.parameters(), *trained, *trained))
    e = run.evaluate
    drawn = e.samples * sum(e.sampling_seeds if protocol == "clean" else 1 for protocol in e.protocols)
    if further_steps(METHODS[run.method], e):
        drawn += min(e.samples, FOLLOWED)
    image = math.prod(spec.shape)
    kept = run.train.kept * checkpoint + drawn * image
    measuring = e.samples * (len(e.round_steps) * image + (1 + len(e.also)) * FEATURES)
    return Disk(kept, kept + max(checkpoint, measuring))


def in_all(runs: Sequence[Disk], at_once: int, out: Path) -> str:
    """A sentence on what these runs take together, at most `at_once` of them at work, and whether OUT has it."""
    kept, more = sum(run.kept for run in runs), sorted((run.most - run.kept for run in runs), reverse=True)
    there = next(folder for folder in (out.absolute(), *out.absolute().parents) if folder.exists())
    needed, free = kept + sum(more[:at_once]), shutil.disk_usage(there).free
    full = "" if needed < free else ": NOT ENOUGH"
    way = f"{in_bytes(needed)} at most on the way, {min(at_once, len(runs))} at a time"
    return f"disk: {in_bytes(kept)} once all have ended, {way}; {in_bytes(free)} are free there{full}"
