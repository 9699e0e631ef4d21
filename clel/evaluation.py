"""Evaluations of one run: each a folder below evaluations/ with its samples and evaluation.json, written last.

An evaluation is named by its protocol and by the hash of all it depends on, so that another setting never replaces what
was measured before, one that stands is not made again, and an interrupted one goes on with the samples it has.
"""

from __future__ import annotations

import hashlib
import io
import json
import shutil
from dataclasses import dataclass, replace
from itertools import accumulate
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import numpy as np
import torch
from torch import Tensor

from clel.config import identity
from clel.data import to_uint8
from clel.engine import engine_of
from clel.evaluate import chain_protocol, common_protocol, distance_of, measure_images, score
from clel.files import write_atomically
from clel.grid import save_grid
from clel.lock import locked
from clel.log import plain
from clel.method import Method
from clel.provenance import utc_now
from clel.reference import Reference
from clel.sampling import Stored, draw_into, own_protocols
from clel.settings import EvaluateConfig

SOURCES = {"clean": "fresh", "paper": "paper"}
"""What the metrics of a protocol end in."""
GRID = 64  # images of the PNG beside the samples
MEASURES = 2  # to be raised when a change of the code changes numbers, so that older evaluations do not stand for them
DONE, PARTS = "evaluation.json", "parts"


@dataclass(frozen=True)
class Subject:
    """What is evaluated: a method that has its trained weights in place, in evaluation mode.

    Attributes:
        checkpoint: name of the checkpoint that the weights are from.
        folder: the run's folder.
        seed: seed of the chains.
        provenance: commit, machine and command of this process.
    """

    method: Method
    checkpoint: str
    folder: Path
    seed: int
    provenance: dict[str, Any]

    @property
    def engine(self) -> str:
        """Number format of the network while chains run; of an engine that fits the machine, what it came down to."""
        return engine_of(self.method)


def evaluate(subject: Subject, real: Reference, config: EvaluateConfig) -> dict[str, dict[str, Any]]:
    """Every evaluation that `config` declares: {source: {metrics, protocol, rounds, folder, provenance}}.

    Sources: fresh (the clean protocol), paper (the method's own), buffer (the chains that training left, where there
    are any). With several sampling seeds fresh also has `sampling`, the distance of each, fid_sampling_mean and _std.

    Raises:
        Busy: another process is at work on one of them.
    """
    found: dict[str, dict[str, Any]] = {}
    for protocol in (name for name in SOURCES if name in config.protocols):
        repeats = config.sampling_seeds if protocol == "clean" else 1
        every = [_fresh(subject, real, config, protocol, repeat) for repeat in range(repeats)]
        found[SOURCES[protocol]] = {**every[0], **_over_sampling(every)}
    chains = subject.method.chains()
    if chains is not None:
        pixels = to_uint8(chains).cpu()
        stated = {"name": "buffer", "chains": "the replay buffer as training left it", "n_fake": len(pixels)}
        found["buffer"] = {
            "metrics": measure_images(pixels, real, config, subject.seed, "buffer"),
            "protocol": common_protocol(real, config, subject.seed)
            | _model(subject)
            | subject.method.chains_protocol()
            | stated,
            "provenance": _origin(subject),
        }
    return found


def metrics(evaluations: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """The metrics of all evaluations in one table, their names ending in `_<source>`."""
    return {f"{name}_{source}": value for source, e in evaluations.items() for name, value in e["metrics"].items()}


def save_samples(pixels: Tensor, folder: Path) -> None:
    """Write uint8 images [N, C, H, W] as samples.npy, and a grid of the first ones as samples.png."""
    memory = io.BytesIO()
    np.save(memory, pixels.numpy())
    write_atomically(folder / "samples.npy", memory.getvalue())
    save_grid(pixels[:GRID], folder / "samples.png")


def _fresh(subject: Subject, real: Reference, config: EvaluateConfig, protocol: str, repeat: int) -> dict[str, Any]:
    """One evaluation of fresh chains, from its folder where it stands."""
    # what else is evaluated beside it changes nothing of it
    alone = replace(config, protocols=(protocol,), sampling_seeds=1)
    essence = (MEASURES, identity(alone, 64), protocol, subject.seed, repeat, real.space.identity, real.images)
    digest = hashlib.sha256(repr((*essence, subject.checkpoint)).encode()).hexdigest()[:8]
    folder = subject.folder / "evaluations" / f"{protocol}-{digest}"
    with locked(folder):
        if not (folder / DONE).exists():
            _make(subject, real, config, protocol, repeat, folder)
        # also those of a process that ended between the two
        shutil.rmtree(folder / PARTS, ignore_errors=True)
        return json.loads((folder / DONE).read_text())


def _make(subject: Subject, real: Reference, config: EvaluateConfig, protocol: str, repeat: int, folder: Path) -> None:
    """Draw, measure and write one evaluation, going on with what an interrupted process left in PARTS."""
    title = f"{subject.folder.name} {protocol}"
    label = "sample" if repeat == 0 else f"sample {repeat}"
    parts = folder / PARTS
    chosen = own_protocols(type(subject.method), subject.method.config)[protocol]
    with torch.no_grad():
        stored = draw_into(parts, subject.method, config, protocol, subject.seed, label, title)
    values = score(stored.pixels(), stored.n, real, config, subject.seed, protocol, parts / "features", title)
    measured = {
        "folder": str(folder.relative_to(subject.folder)),
        "metrics": values,
        "protocol": common_protocol(real, config, subject.seed)
        | chain_protocol(config, protocol, chosen, subject.method.start)
        | _model(subject)
        | {"batch": stored.batch, "repeat": repeat},
        "rounds": _rounds(stored, config, real, values["fid"], parts / "rounds.json"),
        "provenance": _origin(subject),
    }
    stored.gather(folder / "samples.npy")
    save_grid(next(stored.pixels())[:GRID], folder / "samples.png")
    write_atomically(folder / DONE, json.dumps(plain(measured), indent=1, allow_nan=False) + "\n")


def _rounds(stored: Stored, config: EvaluateConfig, real: Reference, last: float, path: Path) -> list[dict[str, Any]]:
    """The distance after each round, each kept in the file as soon as it is known; that after the last is given."""
    found: list[dict[str, Any]] = json.loads(path.read_text()) if path.exists() else []
    totals = list(accumulate(config.round_steps))
    for number in range(len(found), stored.rounds - 1):
        distance = distance_of(stored.pixels(number), real)
        found.append({"steps": totals[number], "fid": distance})
        write_atomically(path, json.dumps(plain(found)))
    return [*found, {"steps": config.steps, "fid": last}]


def _model(subject: Subject) -> dict[str, Any]:
    return {"checkpoint": subject.checkpoint, "engine": subject.engine}


def _over_sampling(every: list[dict[str, Any]]) -> dict[str, Any]:
    """Metrics of the first of several sampling seeds, with mean and spread of the distance over all of them."""
    if len(every) == 1:
        return {}
    distances = [e["metrics"]["fid"] for e in every]
    spread = {"fid_sampling_mean": mean(distances), "fid_sampling_std": stdev(distances)}
    return {"metrics": {**every[0]["metrics"], **spread, "sampling_seeds": len(every)}, "sampling": distances}


def _origin(subject: Subject) -> dict[str, Any]:
    return {**subject.provenance, "finished": utc_now()}
