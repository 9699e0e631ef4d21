"""What every way of launching a grid needs: which cells are finished, what they cost, data that are ready."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from clel.data import DataError, load
from clel.runs.config import choose_device, save_config
from clel.runs.execute import reference_of
from clel.runs.record import FINAL, read_record, stands
from clel.storage.atomic import refuse_unwritable_folder
from clel.storage.lock import Busy, look
from clel.storage.log import counted
from clel.storage.provenance import code_version
from experiments.runs.cell import BUSY, STOPPED, main
from experiments.runs.external import ExternalRun, samples_changed
from experiments.sweep.grid import Cell


def has_result(cell: Cell, runs: Path) -> bool:
    """Whether the cell has a record that stands, measured as the cell asks."""
    record = read_record(runs / cell.run_name)
    if cell.evaluate is None:
        return record is not None and record["status"] in FINAL
    return stands(record, cell.evaluate)


def cost(cell: Cell) -> float:
    """Rough work of a cell, to start the longest first."""
    train = getattr(cell.run, "train", None)
    config = getattr(cell.run, "config", None)
    if train is None or config is None:
        return 0.0
    langevin = getattr(config, "langevin", None)
    views = getattr(config, "contrastive_batch_size", 0)
    return train.iterations * (config.batch_size * (3 + getattr(langevin, "steps", 0)) + 10 * views)


def prepare(cells: Sequence[Cell], runs: Path, device: str, table: Path) -> None:
    """See that runs and table can be written; load each data set, make its feature space and statistics once.

    Before any training.

    A record of samples by others that are other images now is removed, so that they are measured again.

    Raises:
        ConfigError: a folder that cannot be written.
        DataError: a data set is missing, or is not the one that a finished run was measured on.
    """
    place = choose_device(device)
    code_version()  # why records will name no commit is said here, not in each run's output.log
    groups: dict[tuple[str, ...], list[Cell]] = {}
    for cell in cells:
        groups.setdefault(
            (cell.dataset, cell.measured.features, *cell.measured.also, cell.measured.reference), []
        ).append(cell)
    for (dataset, *_), members in sorted(groups.items()):
        train, held_out = load(dataset, "train").to(place), load(dataset, "test").to(place)
        for folder in (runs, table):  # made only once there are images, and before the first work
            refuse_unwritable_folder(folder)
        real = reference_of(members[0].measured, train, held_out)
        check_records(members, runs, real.images)


def check_records(cells: Sequence[Cell], runs: Path, images: str, look_only: bool = False) -> None:
    """Cells of one data set, whose training images have the hash `images`; see `prepare`. look_only: remove nothing."""
    for cell in cells:
        record = read_record(runs / cell.run_name)
        known = record["protocol"].get("reference_images", images) if record else images
        if record and record["config"].get("evaluate", {}).get("reference", "train") != cell.measured.reference:
            continue  # measured against the other split, and now to be measured against this one
        if known != images:
            raise DataError(
                f"{cell.dataset}: its training images are not those that {cell.run_name} was measured on; "
                f"move {runs / cell.run_name} away, or give another OUT"
            )
        if record and not look_only and isinstance(cell.run, ExternalRun) and samples_changed(cell.run, record):
            print(f"{cell.run_name}: {cell.run.samples} has changed and is measured again", file=sys.stderr)
            (runs / cell.run_name / "record.json").unlink()


def elsewhere(cell: Cell, runs: Path) -> bool:
    """Whether another process has the cell's run, which is said."""
    seen = look(runs / cell.run_name)
    if seen.held:
        print(f"{cell.run_name}: being trained elsewhere, by {seen}", file=sys.stderr)
    return seen.held


def refuse_to_wait(left: Sequence[Cell], cells: Sequence[Cell], runs: Path) -> None:
    """Raise Busy where other processes have cells that were left to them: a table now would have dashes for results."""
    names = list(dict.fromkeys(cell.run_name for cell in left if not has_result(cell, runs)))
    if names:
        raise Busy(
            f"of {counted(len(cells), 'run')} other processes have {len(names)}: {', '.join(names)}. All else is done, "
            "and no table was written: the last of these processes to end makes it, or the same command after that"
        )


def let_go(left: Sequence[Cell], tried: set[str], runs: Path) -> list[Cell]:
    """Of the cells that were left to other processes those that these have let go of unfinished, each once; `tried`
    gets their names."""
    found = [
        c for c in left if c.run_name not in tried and not has_result(c, runs) and not look(runs / c.run_name).held
    ]
    tried |= {cell.run_name for cell in found}
    return found


def run_here(cells: Sequence[Cell], runs: Path) -> None:
    """Execute every cell that has no standing record in this process, one after the other; for debugging.

    Raises:
        Busy: other processes have some of them; the others are done.
        KeyboardInterrupt: on Ctrl-C or SIGTERM, with the state saved.
    """
    pending, tried = list(cells), set[str]()
    left: list[Cell] = []
    while pending or (pending := let_go(left, tried, runs)):
        cell = pending.pop(0)
        if has_result(cell, runs):
            continue
        if elsewhere(cell, runs):
            left.append(cell)
            continue
        save_config(cell.run, runs / cell.run_name)
        status = main(runs / cell.run_name)
        print(f"{cell.run_name}: exit status {status}", file=sys.stderr)
        if status == BUSY:
            left.append(cell)
        if status in STOPPED:
            raise KeyboardInterrupt(STOPPED[status])
    refuse_to_wait(left, cells, runs)
