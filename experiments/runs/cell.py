"""python -m experiments.runs.cell FOLDER: execute the run that FOLDER/config.json describes, in this process."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from baselines import METHODS
from clel.config import from_dict
from clel.data import load
from clel.machine.allocator import let_engines_tune
from clel.machine.signals import STOPS, Interrupted, exit_status, interrupt_on_stops, leave_with_launcher
from clel.methods.settings import EvaluateConfig
from clel.runs.config import Run, choose_device, load_config, read_config
from clel.runs.execute import execute, reference_of
from clel.runs.record import blank_record, finished, read_record, stands, write_record
from clel.storage.atomic import write_atomically
from clel.storage.cache import cache_root
from clel.storage.lock import Busy, locked, wait_for_the_dead
from clel.storage.log import shown_notices
from experiments.reading.paths import folder_part
from experiments.runs.chains.run import execute_chains
from experiments.runs.chains.settings import ChainsRun, read_run
from experiments.runs.external import ExternalRun, execute_external
from experiments.runs.references import ReferenceRun, execute_reference

FAILED, BUSY = 1, 75
STOPPED = {128 + number: number.name for number in (signal.SIGINT, *STOPS)}
"""Exit statuses of a run that was asked to leave, and by which signal."""


def main(folder: Path) -> int:
    """Exit status: 0 recorded (whatever the outcome), 1 failed, 75 another process has it, or of STOPPED."""
    try:
        run = read_any_run(folder)
        if isinstance(run, ReferenceRun | ExternalRun):
            with locked(folder):
                if not stands(read_record(folder), run.evaluate):
                    execute_reference(run, folder) if isinstance(run, ReferenceRun) else execute_external(run, folder)
        elif isinstance(run, ChainsRun):
            execute_chains(run, folder)
        else:
            execute(run, folder, METHODS)
    except Interrupted as interrupted:
        print(interrupted, file=sys.stderr)
        return interrupted.exit_status
    except Busy as busy:
        print(busy, file=sys.stderr)
        return BUSY
    except Exception:  # noqa: BLE001 - the boundary of a worker process: its log gets the whole story
        traceback.print_exc()
        return FAILED
    return 0


def read_any_run(folder: Path) -> Run[Any] | ReferenceRun | ExternalRun | ChainsRun:
    """The run of any kind that FOLDER/config.json describes."""
    values = read_config(folder)
    kind = values.pop("kind")
    if kind == ReferenceRun.kind:
        return from_dict(ReferenceRun, values)
    if kind == ExternalRun.kind:
        return from_dict(ExternalRun, values)
    return read_run(values) if kind == ChainsRun.kind else load_config(folder, METHODS)


def make_reference(values: Mapping[str, Any]) -> None:
    """Have the feature space and the reference statistics of a run's config.json in the cache, made by one process.

    Of many tasks that start together one makes them and the others wait for it. A mark says that they were made; were
    the cache emptied under it, each would make them, which costs time and changes nothing.
    """
    dataset, evaluate = str(values["dataset"]), from_dict(EvaluateConfig, values["evaluate"])
    place = place_of_mark(dataset, evaluate)
    if (place / "done").exists():
        return
    with locked(place, wait=float("inf")):
        if not (place / "done").exists():
            device = choose_device(values["device"])
            train, held_out = (load(dataset, split).to(device) for split in ("train", "test"))
            reference_of(evaluate, train, held_out)
            write_atomically(place / "done", "")


def place_of_mark(dataset: str, evaluate: EvaluateConfig) -> Path:
    """The folder of that mark: of each data set, spaces and split another one, also of two paths that end alike."""
    parts = [folder_part(dataset), evaluate.features, *evaluate.also]
    if evaluate.reference != "train":
        parts.append(evaluate.reference)
    return cache_root() / "made" / "-".join(parts)


def give_up(folder: Path, reason: str) -> None:
    """Record that the run was stopped too often: status `timeout`. It keeps its checkpoints, and can be taken up."""
    values = read_config(folder)
    with locked(folder):
        run = read_any_run(folder)
        fields = {"method": values.get("method") or values.get(values["kind"])}
        fields |= {"preset": values.get("preset", ""), "dataset": run.dataset, "seed": run.seed}
        record = blank_record(folder.name, run, **fields)
        write_record(folder, finished(record | {"status": "timeout", "reason": reason}))


def task(arguments: list[str]) -> int:
    """`main` as a cluster's task: in the folder that the sweep was submitted from, and patient with dead holders."""
    parser = argparse.ArgumentParser(prog="python -m experiments.runs.cell", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--at", type=Path, help="work in this folder; the code stays the one that was started")
    parser.add_argument("--give-up", metavar="REASON", help="record the status timeout, and stop")
    options = parser.parse_args(arguments)
    folder = options.folder.absolute()
    try:
        interrupt_on_stops()
        leave_with_launcher()
        if options.at is not None:
            os.chdir(options.at)
        if options.give_up:
            give_up(folder, options.give_up)
            return 0
        if options.at is not None:
            wait_for_the_dead(folder)
            values = read_config(folder)
            if "evaluate" in values:
                with locked(folder):  # a sign of life, however long it takes
                    make_reference(values)
        return main(folder)
    except Busy as busy:
        print(busy, file=sys.stderr)
        return BUSY
    except KeyboardInterrupt as stop:
        print(f"{folder.name}: {stop or 'interrupted'} outside of training; what was saved stands", file=sys.stderr)
        return exit_status(stop)
    except Exception:  # noqa: BLE001 - as above
        traceback.print_exc()
        return FAILED


if __name__ == "__main__":
    let_engines_tune()
    with shown_notices():
        sys.exit(task(sys.argv[1:]))
