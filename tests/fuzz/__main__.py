"""python -m tests.fuzz: bad input and kills, counted; prints what fell short, and ends with 1 where anything did."""

from __future__ import annotations

import os
import random
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from itertools import islice
from pathlib import Path
from typing import Any

import torch
import tyro

from baselines import METHODS
from clel.config import ConfigError
from clel.data import DataError
from clel.machine.signals import Interrupted
from clel.methods.settings import TrainConfig
from clel.runs.config import Run, resolve
from clel.runs.execute import execute
from clel.storage.checkpoint import CheckpointError
from clel.storage.lock import Busy
from tests.fuzz import damage, kills, options
from tests.fuzz.judge import Try


@dataclass(frozen=True)
class Fuzz:
    """How much, and which."""

    inputs: int = 1000
    """Bad inputs: options, variables of make, data files, folders of runs, in turn."""
    kills: int = 200
    """Trainings that are killed and then go on."""
    seed: int = 0
    """Seed of what is drawn: the same tries again."""
    kinds: tuple[str, ...] = ("trainings", "commands", "variables", "files", "folders")
    """Which bad inputs."""
    methods: tuple[str, ...] = tuple(METHODS)
    """Whose trainings are killed and whose folders are damaged."""


def main(o: Fuzz) -> int:
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory(prefix="fuzz-") as name:
        place = Path(name)
        os.chdir(place)
        runs = {method: trained(method, place / "runs") for method in o.methods}
        fallen = tried("kill", kills.kills(random.Random(o.seed), place, runs, train), o.kills)
        run = next(iter(runs.values()))[1]
        draws: dict[str, Iterator[Try]] = {
            "trainings": options.trainings(random.Random(o.seed)),
            "commands": options.commands(random.Random(o.seed), run, Path("digits:test")),
            "variables": options.variables(random.Random(o.seed), place),
            "files": damage.files(random.Random(o.seed), place),
            "folders": damage.folders(random.Random(o.seed), place, runs, train),
        }
        each = -(-o.inputs // len(o.kinds))
        for kind in o.kinds:
            fallen += tried(kind, draws[kind], each)
        os.chdir("/")
    total = o.kills + each * len(o.kinds)
    print(f"{total} tries, {total - len(fallen)} held" + "".join(f"\n  {line}" for line in fallen))
    return int(bool(fallen))


def tried(kind: str, tries: Iterator[Try], n: int) -> list[str]:
    """What fell short of the first n, each with what was tried."""
    fallen = []
    for number, (words, call) in enumerate(islice(tries, n), 1):
        short = call()
        if short:
            fallen.append(f"{kind}: {words}\n      {short}")
            print(fallen[-1], file=sys.stderr, flush=True)
        if number % 20 == 0 or number == n:
            print(f"{kind} {number}/{n}, {len(fallen)} fell short", file=sys.stderr, flush=True)
    return fallen


def small(method: str) -> Run[Any]:
    """A run of the method that takes a second or two: small batches, two Langevin steps, six iterations."""
    run = resolve(METHODS, method, "quick")
    c = run.config
    changes: dict[str, Any] = {f.name: 4 for f in fields(c) if "batch_size" in f.name}
    if hasattr(c, "langevin"):
        changes["langevin"] = replace(c.langevin, steps=2)
    if hasattr(c, "buffer"):
        changes["buffer"] = replace(c.buffer, size=70)
    train = TrainConfig(iterations=6, checkpoint_every=2, log_every=1, sample_every=0)
    evaluate = replace(run.evaluate, samples=70, steps=2, rounds=1, beyond=1.0, bootstrap=0, batch=70)
    return replace(run, config=replace(c, **changes), train=train, evaluate=evaluate, device="cpu")


def train(run: Run[Any], folder: Path) -> int:
    """What `clel train` does with it: the exit status."""
    try:
        return {"ok": 0, "diverged": 3}.get(execute(run, folder, METHODS)["status"], 1)
    except Interrupted as interrupted:
        return interrupted.exit_status
    except (Busy, ConfigError, DataError, CheckpointError, OSError) as error:
        print(f"clel: {error}", file=sys.stderr)
        return 2


def trained(method: str, place: Path) -> tuple[Run[Any], Path]:
    """The small run of a method, and its finished folder, of a training that was left in peace."""
    run = small(method)
    status = train(run, place / method)
    assert status == 0, f"{method} ended with {status}"
    return run, place / method


if __name__ == "__main__":
    sys.exit(main(tyro.cli(Fuzz, prog="python -m tests.fuzz", description="Bad input and kills, by the hundred.")))
