"""A pack, measured: records of its runs from their samples alone, and Table 1 with its figures made of them."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from baselines import METHODS
from clel.chains.protocol import CLEAN
from clel.config import ConfigError
from clel.data import load
from clel.evaluation.evaluate import metrics, save_samples
from clel.evaluation.score import chain_protocol, common_protocol, score
from clel.features.reference import Reference
from clel.methods.settings import EvaluateConfig
from clel.runs.config import Run, choose_device, choose_method, load_config, save_config, slug
from clel.runs.execute import measured_on
from clel.runs.record import blank_record, finished, read_record, stands, write_record
from clel.storage.atomic import read_json, refuse_unwritable_folder, write_atomically
from clel.storage.provenance import provenance
from experiments.borrowed.child import Drawn, read_drawn
from experiments.borrowed.pack import NAME, packed_samples
from experiments.reading.paths import absolute
from experiments.sweep.grid import Cell, table1_cells
from experiments.sweep.launch import run_here
from experiments.sweep.meaning import Meaning
from experiments.table1.report import write_report

FEATURES = EvaluateConfig().features
"""The space that samples are measured in unless another is asked for."""


def measure_pack(out: Path, pack: Path, dataset: str | None, features: str | None) -> int:
    """Measure a pack and write OUT/<profile>-<device>; exit status 0, or 1 where a run has no samples.

    dataset: where the images are here, if not where they were then; they must be the same ones.

    Raises:
        ConfigError, DataError: the images are others, or not here.
    """
    keys = ("profile", "device", "command", "dataset", "rows")
    about = read_json(pack / NAME, "take the pack home once more, or make it again: make gpu-natural", keys)
    runs, name = pack / "measured", f"{about['profile']}-{slug(about['device'])}"
    again = f"{about['command']}; then make gpu-natural REPORT=1"
    given = {"pack": pack.name, "dataset": absolute(dataset or about["dataset"]), "features": features}
    meaning = Meaning("table1", given, "table1.md", f"`{again}`")
    meaning.refuse_another(out / name)
    refuse_unwritable_folder(out / name)
    cells, missing = cells_of(pack, about, dataset or about["dataset"], features or FEATURES)
    run_here([cell for cell in cells if not isinstance(cell.run, Run)], runs)
    for cell in cells:
        if isinstance(cell.run, Run):
            measure_packed(cell.run, pack, runs)
    meaning.claim(out / name)
    for path in write_report(out / name, cells, runs, again):
        print(path)
    for packed in missing:
        print(f"{packed}: no samples; its log is in the pack", file=sys.stderr)
    return 1 if missing else 0


def cells_of(pack: Path, about: dict[str, Any], dataset: str, features: str) -> tuple[list[Cell], list[str]]:
    """The rows of the table, references first, and the packed runs that have no samples."""
    rows: list[Cell] = []
    missing = []
    declared = table1_cells(about["profile"], 1, about["rows"], dataset, "auto", rates=False)
    titles = {cell.row: cell for cell in declared}
    for place in sorted((pack / "runs").iterdir(), key=lambda place: order(place, about["rows"])):
        run = load_config(place, METHODS)
        n = read_drawn(place).packed if (place / "drawn.json").exists() else 0
        missing += [] if n else [place.name]
        evaluate = replace(run.evaluate, samples=max(n, 1), features=features)
        run = replace(run, dataset=dataset, evaluate=evaluate, device="auto")
        rows.append(replace(titles[run.method], run=run))
    most = max(cell.measured.samples for cell in rows)
    bounds = [cell for cell in declared if not isinstance(cell.run, Run) and cell.row in ("noise", "real")]
    given = {"samples": most, "features": features}
    references = [replace(c, run=replace(c.run, evaluate=replace(c.measured, **given))) for c in bounds]  # type: ignore
    return [*references, *rows], missing


def order(place: Path, rows: list[str]) -> int:
    """Where the row of a packed run stands."""
    return rows.index(load_config(place, METHODS).method)


def measure_packed(run: Run[Any], pack: Path, runs: Path) -> None:
    """Write the run's folder with its record; nothing where the record stands, or the pack has no samples of it."""
    place, folder = packed(run, pack), runs / run.name
    if stands(read_record(folder), run.evaluate) or not (place / "drawn.json").exists():
        return
    drawn = read_drawn(place)
    if not drawn.packed:
        return
    device = choose_device("auto")
    images = load(run.dataset, "train").to(device)
    if images.content_hash() != drawn.images:
        raise ConfigError(
            f"{run.dataset}: other images than those that {place.name} was trained on; DATASET=... names them"
        )
    real = measured_on(run, images)
    save_config(run, folder)
    write_atomically(folder / "log.jsonl", (place / "log.jsonl").read_bytes())
    write_record(folder, record_of(run, folder, place, drawn, real))


def packed(run: Run[Any], pack: Path) -> Path:
    """The folder that a run has in the pack, where its data set may have had another path."""
    return next(p for p in (pack / "runs").iterdir() if load_config(p, METHODS).method == run.method)


def record_of(run: Run[Any], folder: Path, place: Path, drawn: Drawn, real: Reference) -> dict[str, Any]:
    """The record of a run of which only samples are left, as clel.runs.execute makes those of others."""
    pixels, config = packed_samples(place), run.evaluate
    record = blank_record(folder.name, run, method=run.method, preset=run.preset, dataset=run.dataset, seed=run.seed)
    values = score(
        lambda: pixels.split(1000), len(pixels), real, config, run.seed, "clean", name=f"{folder.name} clean"
    )
    save_samples(pixels, folder / "evaluations/clean")
    write_atomically(folder / "samples.png", (folder / "evaluations/clean/samples.png").read_bytes())
    start = choose_method(METHODS, run.method).start
    protocol = common_protocol(real, config, run.seed) | chain_protocol(config, "clean", CLEAN, start)
    protocol |= {"checkpoint": drawn.checkpoint, "engine": drawn.engine, "batch": drawn.batch, "repeat": 0}
    protocol |= {"n_asked": drawn.asked, "chains_per_second": drawn.rate}
    fresh: dict[str, Any] = {"folder": "evaluations/clean", "metrics": values, "protocol": protocol}
    fresh |= {"rounds": [{"steps": config.steps, "fid": values["fid"]}]}
    fresh |= {"provenance": provenance(choose_device("auto"))}
    record |= drawn.ended | {
        "metrics": metrics({"fresh": fresh}),
        "protocol": protocol,
        "evaluations": {"fresh": fresh},
    }
    return finished(record)
