"""What must be right before a single job is submitted, looked at on the submitting host, without heavy work."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from clel.config import ConfigError
from clel.data import DataError, load
from clel.networks.weights import PUBLISHED, locate
from experiments.slurm.resources import Resources
from experiments.slurm.scheduler import check_partition, require_slurm
from experiments.sweep.grid import Cell
from experiments.sweep.launch import check_records


def check_slurm(wanted: Iterable[Resources]) -> None:
    """Raise SchedulerError where there is no Slurm, or no partition could ever run one of these."""
    require_slurm()
    for r in sorted(set(wanted), key=str):
        check_partition(r.partition, gpus=r.gpus, cpus=r.cpus, memory_gb=r.memory_gb, minutes=r.minutes)


def check_weights(cells: Sequence[Cell]) -> None:
    """Raise ConfigError unless the weights that the cells' feature spaces need are here and the published ones."""
    for features in sorted({name for cell in cells for name in (cell.measured.features, *cell.measured.also)}):
        for weights in PUBLISHED:
            if features in weights.modes:
                locate(weights)


def check_data(cells: Sequence[Cell], runs: Path, look_only: bool = False) -> None:
    """Every data set that the cells need is here and is the published one, and the one they were measured on.

    Feature spaces and reference statistics are not made here: a login node is no place for that, and the first task
    that needs them makes them for all.

    look_only: change nothing, as for a plan; see `check_records`.

    Raises:
        DataError: what is missing or wrong, and how to get it.
    """
    for dataset in sorted({cell.dataset for cell in cells}):
        train = load(dataset, "train")
        labelled = train.labels is not None and len(train.classes) > 1
        own = [cell for cell in cells if cell.dataset == dataset]
        if not labelled and any("classifier" in (cell.measured.features, *cell.measured.also) for cell in own):
            raise DataError(
                f"{dataset}: a classifier's feature space takes labels of at least two classes. Without them take "
                "others: FEATURES=lite0 or inception-clean"
            )
        for split in ("train", "test"):
            images = replace(train if split == "train" else load(dataset, split), labels=None)
            against = [cell for cell in own if cell.measured.reference == split]
            check_records(against, runs, images.content_hash(), look_only)


def check_writable(out: Path, look_only: bool = False) -> None:
    """Raise ConfigError where OUT cannot be written; it may be missing, and is made unless `look_only`."""
    if look_only:
        there = next(folder for folder in (out.absolute(), *out.absolute().parents) if folder.exists())
        if not (there.is_dir() and os.access(there, os.W_OK | os.X_OK)):
            raise ConfigError(f"OUT is {out}, which cannot be written; give another folder")
        return
    try:
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=out) as file:
            file.write(b"x")
    except OSError as error:
        raise ConfigError(f"OUT is {out}, which cannot be written ({error.strerror}); give another folder") from None
