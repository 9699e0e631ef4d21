"""Evaluations of one run: each a folder below evaluations/ with its samples and evaluation.json, written last.

An evaluation is named by its protocol and by the hash of all it depends on, so that another setting never replaces what
was measured before, one that stands is not made again, and an interrupted one goes on with the samples it has.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import numpy as np
import torch
from torch import Tensor

from clel.chains.protocol import CLEAN
from clel.chains.switches import engine_of
from clel.config import identity
from clel.data import to_uint8
from clel.data.image_grid import save_grid
from clel.evaluation.score import chain_protocol, common_protocol, distance_of, measure_images, score
from clel.features.reference import Reference
from clel.methods.method import Method
from clel.methods.settings import EvaluateConfig
from clel.sampling.fresh import FOLLOWED, SampleFiles, draw_into, further_steps, goes_on, own_protocols
from clel.storage.atomic import drop_unfinished, read_json, refuse_unwritable, write_atomically
from clel.storage.lock import locked
from clel.storage.log import plain
from clel.storage.provenance import utc_now

SOURCES = {"clean": "fresh", "paper": "paper"}
"""What the metrics of a protocol end in."""
GRID = 64  # images of the PNG beside the samples
MEASURES = 2  # to be raised when a change of the code changes numbers, so that older evaluations do not stand for them
DONE, PARTS = "evaluation.json", "parts"
CHAINS, STRIP = "chains.png", 10
"""The picture of chains on their way, a line each, and how many of them it has."""


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

    Sources: fresh (the clean protocol), paper (the method's own), beyond (clean chains that are followed further, where
    that is asked), buffer (the chains that training left, where there are any). With several sampling seeds fresh also
    has `sampling`, the distance of each, and fid_sampling_mean and _std.

    Raises:
        Busy: another process is at work on one of them.
    """
    found: dict[str, dict[str, Any]] = {}
    for protocol in (name for name in SOURCES if name in config.protocols):
        repeats = config.sampling_seeds if protocol == "clean" else 1
        every = [_fresh(subject, real, config, protocol, repeat) for repeat in range(repeats)]
        found[SOURCES[protocol]] = {**every[0], **_over_sampling(every)}
    if "clean" in config.protocols and config.further_steps:
        found["beyond"] = _beyond(subject, real, config)
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
    alone = replace(config, protocols=(protocol,), sampling_seeds=1, beyond=1.0)

    def make(folder: Path) -> None:
        _make(subject, real, config, protocol, repeat, folder)

    return _kept(subject, real, alone, protocol, repeat, make)


def _beyond(subject: Subject, real: Reference, config: EvaluateConfig) -> dict[str, Any]:
    """The evaluation of chains that are followed beyond their steps, from its folder where it stands."""
    # of distances alone, so that it stands whatever else is measured of the chains up to there
    alone = replace(config, protocols=("clean",), sampling_seeds=1, rounds=1, also=(), bootstrap=0, infinity=False)
    real = replace(real, further={})
    alone = replace(alone, samples=min(config.samples, FOLLOWED))
    return _kept(subject, real, alone, "beyond", 0, lambda folder: _follow(subject, real, alone, folder))


def _kept(
    subject: Subject, real: Reference, config: EvaluateConfig, name: str, repeat: int, make: Callable[[Path], None]
) -> dict[str, Any]:
    """An evaluation from its folder, where `make` has put it, now or before; named by all that it depends on."""
    essence = (MEASURES, identity(config, 64), name, subject.seed, repeat, real.space.identity, real.images)
    further = tuple(space.identity for space in real.spaces[1:])
    digest = hashlib.sha256(repr((*essence, *further, subject.checkpoint)).encode()).hexdigest()[:8]
    folder = subject.folder / "evaluations" / f"{name}-{digest}"
    with locked(folder):
        for place in (folder, folder / PARTS):
            drop_unfinished(place, alone=True)
        if not (folder / DONE).exists():
            held = sum(path.stat().st_size for path in (folder / PARTS).rglob("*"))
            refuse_unwritable(folder / DONE, room(config, subject.method.spec.shape, real) - held)
            make(folder)
        # also those of a process that ended between the two
        shutil.rmtree(folder / PARTS, ignore_errors=True)
        remedy = f"remove {folder}, and the same command draws and measures its samples again"
        return read_json(folder / DONE, remedy, ("folder", "metrics", "protocol"))


def room(config: EvaluateConfig, shape: Sequence[int], real: Reference) -> int:
    """Bytes that an evaluation takes while it is made: images of every round and once more as one file, features."""
    images = (len(config.further_steps or config.round_steps) + 1) * math.prod(shape)
    return config.samples * (images + sum(4 * space.dimension for space in real.spaces))


def _make(subject: Subject, real: Reference, config: EvaluateConfig, protocol: str, repeat: int, folder: Path) -> None:
    """Draw, measure and write one evaluation, going on with what an interrupted process left in PARTS."""
    title = f"{subject.folder.name} {protocol}"
    label = "sample" if repeat == 0 else f"sample {repeat}"
    parts = folder / PARTS
    chosen = own_protocols(type(subject.method), subject.method.config)[protocol]
    with torch.no_grad():
        stored = draw_into(parts, subject.method, config, protocol, subject.seed, label, title)
    values = score(stored.pixels, stored.n, real, config, subject.seed, protocol, parts / "features", title)
    measured = {
        "folder": str(folder.relative_to(subject.folder)),
        "metrics": values,
        "protocol": common_protocol(real, config, subject.seed)
        | chain_protocol(config, protocol, chosen, subject.method.start)
        | _model(subject)
        | {"batch": stored.batch, "repeat": repeat},
        "rounds": [
            *_rounds(stored, list(accumulate(config.round_steps))[:-1], real, parts / "rounds.json"),
            {"steps": config.steps, "fid": values["fid"]},
        ],
        "provenance": _origin(subject),
    }
    _write(measured, stored, folder)


def _follow(subject: Subject, real: Reference, config: EvaluateConfig, folder: Path) -> None:
    """Draw, measure and write chains that go on beyond config.steps, as `_make` does those up to there."""
    title, parts = f"{subject.folder.name} beyond", folder / PARTS
    totals = further_steps(type(subject.method), config)
    with torch.no_grad():
        stored = draw_into(parts, subject.method, config, "clean", subject.seed, "sample", title, totals)
    rounds = _rounds(stored, totals, real, parts / "rounds.json")
    stated: dict[str, Any] = {"steps": totals[-1], "rounds": len(totals), "batch": stored.batch, "repeat": 0}
    if not goes_on(type(subject.method)):
        stated["chains"] = f"fresh, from {subject.method.start}, sampled anew for each number of steps"
    measured = {
        "folder": str(folder.relative_to(subject.folder)),
        "metrics": {"fid": rounds[-1]["fid"], "n": stored.n},
        "protocol": common_protocol(real, config, subject.seed)
        | chain_protocol(config, "clean", CLEAN, subject.method.start)
        | _model(subject)
        | stated,
        "rounds": rounds,
        "provenance": _origin(subject),
    }
    _write(measured, stored, folder)


def _write(measured: dict[str, Any], stored: SampleFiles, folder: Path) -> None:
    """An evaluation's files; that which says that it stands comes last."""
    stored.gather(folder / "samples.npy")
    save_grid(next(stored.pixels())[:GRID], folder / "samples.png")
    if stored.rounds > 1:
        states = [next(stored.pixels(number))[:STRIP] for number in range(stored.rounds)]
        save_grid(torch.stack(states, 1).flatten(0, 1), folder / CHAINS, columns=stored.rounds)
    write_atomically(folder / DONE, json.dumps(plain(measured), indent=1, allow_nan=False) + "\n")


def _rounds(stored: SampleFiles, totals: Sequence[int], real: Reference, path: Path) -> list[dict[str, Any]]:
    """The distance of each of the first stored states, those after `totals` steps, kept in the file once known."""
    remedy = "no sample is lost; remove it, and the same command measures them again"
    found: list[dict[str, Any]] = read_json(path, remedy, kind=list) if path.exists() else []
    for number in range(len(found), len(totals)):
        found.append({"steps": totals[number], "fid": distance_of(stored.pixels(number), real)})
        write_atomically(path, json.dumps(plain(found)))
    return found


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
