"""Kills of a training, at a random moment or at a chosen call of the system, and what the same command makes of it."""

from __future__ import annotations

import contextlib
import os
import random
import re
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch

from clel.runs.config import Run
from clel.runs.record import read_record
from clel.storage import checkpoint
from tests.fuzz.judge import LONGEST, Try

CALLS = ("replace", "rename", "fsync", "open", "unlink", "mkdir")
"""Functions of `os` at whose n-th call a process is killed: those by which files come to be and go."""

Train = Callable[[Run, Path], int]


def kills(draw: random.Random, place: Path, runs: dict[str, tuple[Run, Path]], train: Train) -> Iterator[Try]:
    """A run is killed once to three times, then ends: its numbers and weights are those of the one left in peace."""
    while True:
        name = draw.choice(sorted(runs))
        run, whole = runs[name]
        plan = [
            (draw.choice(CALLS), draw.randrange(1, 60), signal.SIGKILL)
            if draw.random() < 0.6
            else ("", draw.uniform(0, 1.5), draw.choice((signal.SIGKILL, signal.SIGTERM, signal.SIGINT)))
            for _ in range(draw.randrange(1, 4))
        ]
        words = ", ".join(f"{kind or 'after'} {when:.3g}{'' if kind else ' s'} {by.name}" for kind, when, by in plan)

        def tried(run: Run = run, whole: Path = whole, plan: Any = plan) -> str | None:
            folder = place / "killed" / whole.name
            shutil.rmtree(folder, ignore_errors=True)
            for kind, when, by in plan:
                _begun(run, folder, train, kind, when, by)
            status = _waited(_begun(run, folder, train, "", None, None), LONGEST)
            if status is None:
                return "it never ended"
            if status != 0:
                return f"it ended with {status}: {(place / 'said').read_text()[-300:]}"
            return differing(whole, folder)

        yield f"{name}: {words}", tried


def differing(whole: Path, other: Path) -> str | None:
    """What of two folders of one run differs but times: numbers, weights, names of files without their hashes."""
    a, b = (read_record(folder) for folder in (whole, other))
    if a is None or b is None:
        return "no record"
    if (a["metrics"], a["status"]) != (b["metrics"], b["status"]):
        return f"other numbers: {a['metrics']} and {b['metrics']}"
    odd = _names(whole) ^ _names(other)
    if odd:
        return f"files in one folder only: {', '.join(sorted(odd))}"
    states = [checkpoint.latest(folder / "checkpoints") for folder in (whole, other)]
    one, two = (list(_tensors(state)) for state in states)
    if len(one) != len(two) or not all(map(torch.equal, one, two)):
        return "other weights"
    return None


def _names(folder: Path) -> set[str]:
    """Of the files in it; a hash over what has times in it says nothing, nor do locks, which are swept once stale."""
    files = (p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())
    return {re.sub(r"-[0-9a-f]{8,12}\b", "", file) for file in files if "/.lock" not in f"/{file}"}


def _tensors(tree: Any) -> Iterator[Any]:
    if isinstance(tree, torch.Tensor):
        yield tree
    elif isinstance(tree, dict):
        for key in tree:
            yield from _tensors(tree[key])
    elif isinstance(tree, list | tuple):
        for value in tree:
            yield from _tensors(value)


def _begun(
    run: Run, folder: Path, train: Train, kind: str, when: float | None, by: signal.Signals | None
) -> int | None:
    """A process that trains, forked from this one, which has imported all; killed and waited for, if so asked."""
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        _as_asked(run, folder, train, kind, int(when or 0))
    if by is None:
        return child
    if not kind:
        time.sleep(when or 0)
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, by)
    if _waited(child, LONGEST) is None:
        raise AssertionError(f"neither ended nor died of {by.name}")
    return None


def _as_asked(run: Run, folder: Path, train: Train, kind: str, nth: int) -> None:
    """The child: trains, and kills itself at the n-th call of os.`kind`. It does not return."""
    said = os.open(folder.parent.parent / "said", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(said, 1)
    os.dup2(said, 2)
    if kind:
        real, left = getattr(os, kind), [nth]

        def counted(*given: Any, **more: Any) -> Any:
            left[0] -= 1
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return real(*given, **more)

        setattr(os, kind, counted)
    try:
        status = train(run, folder)
    except BaseException:  # noqa: BLE001 - whatever it is, the parent is to read it
        traceback.print_exc()
        status = 70
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def _waited(child: int | None, seconds: float) -> int | None:
    """The exit status of a process, negative for a signal; None, and it is killed, where it takes longer."""
    assert child is not None
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.01)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return None
