"""One run of the study of fresh chains and the buffer: train, measure, record; goes on where it was interrupted.

Beside what every run leaves (docs/reference/records.md) its folder has rows.jsonl: a JSON object for each measurement.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from baselines import METHODS
from clel.data import load
from clel.evaluation.score import common_protocol
from clel.features.reference import reference
from clel.features.spaces import feature_space
from clel.machine.costs import now
from clel.machine.processor import float32_means_float32
from clel.runs.config import build, choose_device, save_config
from clel.runs.record import FINAL, blank_record, finished, read_record, write_record
from clel.storage.atomic import write_atomically
from clel.storage.lock import locked
from clel.storage.log import plain, progress
from clel.storage.provenance import provenance
from clel.training.costs import training_costs
from experiments.runs.chains.measure import Real, measure_run
from experiments.runs.chains.settings import ChainsRun
from experiments.runs.chains.trainer import StudyTrainer

ROWS = "rows.jsonl"


def trainer_of(run: ChainsRun, folder: Path) -> StudyTrainer:
    """The run's trainer, not yet started."""
    device = choose_device(run.run.device)
    images = load(run.dataset, "train").to(device)
    method = build(run.run, METHODS, images.spec, device)
    return StudyTrainer(method, images, run.train, folder, run.seed, run.half_lives, run.snapshots, run.snapshot_every)


def execute_chains(run: ChainsRun, folder: Path) -> dict[str, Any]:
    """Train (or resume), measure and record; returns the record. A record that stands is returned as it is.

    Raises:
        Interrupted: on SIGTERM or Ctrl-C during training, with the state saved.
    """
    with locked(folder):
        existing = read_record(folder)
        if existing is not None and existing["status"] in FINAL:
            return existing
        save_config(run, folder)
        record = finished(_train_and_measure(run, folder))
        write_record(folder, record)
        return record


def _train_and_measure(run: ChainsRun, folder: Path) -> dict[str, Any]:
    device = choose_device(run.run.device)
    float32_means_float32()
    fields = {"method": run.run.method, "preset": run.run.preset, "dataset": run.dataset, "seed": run.seed}
    record = blank_record(folder.name, run, **fields) | {"provenance": provenance(device)}
    images, held_out = load(run.dataset, "train").to(device), load(run.dataset, "test").to(device)
    space = feature_space(run.run.evaluate.features, images, held_out)
    real = Real(reference(images, space), images)
    trainer = trainer_of(run, folder)
    outcome = trainer.run()
    record |= {"status": outcome.status, "reason": outcome.reason}
    record["training"] = training_costs(trainer.method, outcome, device)
    began, rows = now(device), []
    with progress(f"{folder.name} measuring", _measurements(run)) as shown:
        for row in measure_run(run, trainer, real, held_out):
            rows.append({"restart": run.restart, "seed": run.seed} | row)
            shown.update()
    record["protocol"] = common_protocol(real.reference, run.run.evaluate, run.seed) | {
        "n_fake": run.chains,
        "steps": list(run.steps),
        "weights": "see rows.jsonl",
        "measuring_seconds": now(device) - began,
    }
    write_atomically(folder / ROWS, "".join(json.dumps(plain(row)) + "\n" for row in rows))
    return record


def _measurements(run: ChainsRun) -> int:
    far = len(set(run.far) & set(run.half_lives))
    near = len(run.half_lives) - far + 2 + len(run.noises)
    return 2 + far * len(run.steps) + near * len(run.near_steps)
