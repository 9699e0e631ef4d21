"""python -m experiments speed-memory: time, memory and operations of every method, measured (the paper's Table 1b)."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch

from clel.config import choose, require
from clel.runs.config import check_engine, choose_device, slug, with_engine
from experiments.speed.frame import CEILING, job_key
from experiments.speed.job import Job
from experiments.speed.launch import measured_jobs
from experiments.speed.machine import LoadWatch, machine
from experiments.speed.process import provenance_of_measurements
from experiments.speed.profiles import EFFORTS, LEAST, Effort
from experiments.speed.records import NAME, read_records, write_records
from experiments.speed.report import write_speed_report
from experiments.speed.rows import SpeedRow, ladder, speed_rows
from experiments.speed.scaling import Point, points, scaling_jobs
from experiments.speed.side_by_side import Throughput, throughputs
from experiments.speed.work import stages_of
from experiments.sweep.meaning import Meaning
from experiments.sweep.naming import OUT, Named, in_order, names_in, with_most_seeds

KEPT = "speed_memory.partial.json"
"""In a table's folder until all is measured: what an interrupted command goes on from."""


@dataclass(frozen=True)
class SpeedMemory:
    """Measure what an iteration, a sampling step and training take in time, memory and operations, method by method.

    Everything is measured anew each time, after an interruption only what is missing; a machine that does nothing else
    is needed.
    """

    profile: str = "quick"
    """smoke (to see that all works), quick (8x8, CPU, five minutes), small or paper (32x32, GPU where there is one)."""
    methods: str = ""
    """Rows, separated by commas: a method, with its rungs of the ladder, or method:preset. All if not given."""
    device: str | None = None
    """cpu, cuda, cuda:1, ..., auto. The profile's own if not given."""
    batch: int | None = None
    """Images of an iteration, the same for every method. Each method's own if not given."""
    engine: str | None = None
    """Engine of every method that has one of that name (docs/design.md, section 5). The presets' own if not given."""
    rounds: int | None = None
    """Measured rounds of each quantity, at most. The profile's own if not given."""
    threads: int | None = None
    """Threads of the CPU. As OMP_NUM_THREADS says, or as many as torch takes, if not given."""
    scaling: bool = True
    """Also measure how time and memory grow with batch, image side, Langevin steps and width."""
    side_by_side: bool = False
    """Also measure what 1, 2, 4 and 8 runs of each method get done together on the device."""
    out: Path = OUT
    """Folder for <profile>/speed_summary.md, speed_memory.md, .tex, .csv, .json and figures/."""
    paper: bool = False
    """Figures also as PDF, at the width of a paper's column."""
    report: bool = False
    """Only make tables and figures again from the records that are there."""


def main(options: SpeedMemory) -> int:
    """Exit status: 0 all measured, 1 if a row could not be (the table says why)."""
    effort = effort_of(options)
    rungs = [row.key for row in ladder(options.profile, "cpu")]
    options = replace(options, methods=in_order(options.methods, options.profile, rungs))
    device = options.device or effort.device
    asked = with_threads(options, os.environ)
    if not options.report:
        device, options = str(known_device(device)), asked
    elif (options.out / folder_name(asked) / NAME).exists():  # a report measures nothing and needs no such device
        options = asked
    rows = speed_rows(options.profile, names_in(options.methods), device, options.batch)
    found = points(options.profile, effort.spec, device) if options.scaling else []
    if options.engine is not None:
        check_engine([row.run for row in rows], options.engine)
        rows = [replace(row, run=with_engine(row.run, options.engine)) for row in rows]
        found = [replace(point, run=with_engine(point.run, options.engine)) for point in found]
    folder = options.out / folder_name(options)
    if options.report:
        records = read_records(folder)
        meaning(options).claim(folder)
    else:
        meaning(options).claim(folder)
        records = measured_records(options, effort, device, rows, found, folder / KEPT)
        if options.side_by_side:
            records["side_by_side"] = [asdict(one) for one in together(effort, device, rows)]
        write_records(folder, records)
        (folder / KEPT).unlink(missing_ok=True)
    again = str(records["options"].get("command") or command(options))
    for path in write_speed_report(folder, rows, found, effort.spec, records, again, distances_csv(options)):
        print(path)
    print((folder / "speed_summary.md").read_text())
    bad = {key: m["reason"] for key, m in records["measurements"].items() if m["status"] != "ok"}
    for key, reason in bad.items():
        print(f"{key}: {reason}", file=sys.stderr)
    return 1 if bad else 0


def known_device(name: str) -> torch.device:
    """The device of that name; raises ConfigError where nothing here can measure it."""
    device = choose_device(name)
    require(device.type in ("cpu", "cuda"), f"device is {name!r}; expected auto, cpu, cuda or cuda:<number>")
    return device


def effort_of(options: SpeedMemory) -> Effort:
    """The profile's effort with what the command changes; raises ConfigError for what cannot be measured."""
    effort = choose(EFFORTS, options.profile, "profile")
    require(options.batch is None or options.batch >= 2, f"batch is {options.batch}; expected at least 2")
    require(options.threads is None or options.threads >= 1, f"threads is {options.threads}; expected at least 1")
    if options.rounds is None:
        return effort
    require(options.rounds >= LEAST, f"rounds is {options.rounds}; expected at least {LEAST}, to have quartiles")
    return replace(effort, rounds=options.rounds)


def with_threads(options: SpeedMemory, environment: Mapping[str, str]) -> SpeedMemory:
    """The options with OMP_NUM_THREADS as if THREADS had said it, so that the table's command measures the same."""
    if options.threads is not None or not environment.get("OMP_NUM_THREADS"):
        return options
    return replace(options, threads=torch.get_num_threads())


def jobs_of(options: SpeedMemory, effort: Effort, device: str, rows: list[SpeedRow], found: list[Point]) -> list[Job]:
    """The ceiling, every stage of every row, and the points of the scaling curves, in this order."""
    jobs = [Job(CEILING, device, effort, threads=options.threads)]
    jobs += [
        Job(job_key(row, stage.name), device, effort, row.run, number, threads=options.threads)
        for row in rows
        for number, stage in stages_of(row.run, effort.spec)
    ]
    return jobs + scaling_jobs(found, effort, device, options.threads)


def measured_records(
    options: SpeedMemory, effort: Effort, device: str, rows: list[SpeedRow], found: list[Point], kept: Path
) -> dict[str, object]:
    """Carry out all jobs, those that the file `kept` has of an interrupted command left out; the records."""
    if options.threads is not None:
        torch.set_num_threads(options.threads)
    place = torch.device(device)
    # taken before anything is measured: what is committed meanwhile is not what runs
    origin, watch = provenance_of_measurements(place), LoadWatch()
    here = json.dumps([machine(place), origin.get("git_sha"), origin.get("git_dirty")])
    measurements = measured_jobs(jobs_of(options, effort, device, rows, found), "speed-memory", kept=kept, origin=here)
    about = next((m["machine"] for m in measurements.values() if m["machine"]), machine(place))
    return {
        "options": {
            "command": command(options),
            "profile": options.profile,
            "batch": options.batch,
            "engine": options.engine,
            "rounds": effort.rounds,
            "device": device,
        },
        "machine": about,
        "provenance": origin,
        "load": watch.read() | {"processors": os.cpu_count()},
        "measurements": measurements,
    }


def together(effort: Effort, device: str, rows: list[SpeedRow]) -> list[Throughput]:
    """What runs of each row, rungs of the ladder left out, get done side by side, in their last stage."""
    jobs = []
    for row in rows:
        if not row.rung:
            number, _ = stages_of(row.run, effort.spec)[-1]
            jobs.append(Job(row.key, device, effort, row.run, number))
    return throughputs(jobs, torch.device(device))


def folder_name(options: SpeedMemory) -> str:
    """Folder of the table: the profile's, and another one for whatever else was asked for."""
    parts = [options.profile]
    if options.methods:
        parts.append(slug(options.methods))
    if options.device is not None:
        parts.append(slug(options.device))
    if options.batch is not None:
        parts.append(f"batch-{options.batch}")
    if options.engine is not None:
        parts.append(slug(options.engine))
    if options.threads is not None:
        parts.append(f"{options.threads}-threads")
    return "-".join(parts)


def distances_csv(options: SpeedMemory) -> Path:
    """Table 1's runs of the profile, trained with the engine that was asked for: those with most seeds."""
    return with_most_seeds(Named(profile=options.profile, engine=options.engine, out=options.out)) / "runs.csv"


def meaning(options: SpeedMemory) -> Meaning:
    """What the table is of; how often it is measured, and its curves, can change. The folder's name says all of it."""
    names = ("profile", "methods", "device", "batch", "engine", "threads")
    given = {name: getattr(options, name) for name in names}
    return Meaning("speed-memory", given, "speed_memory.md", "Speed and memory:")


def command(options: SpeedMemory) -> str:
    """The command that makes this table again."""
    given: dict[str, object] = {"PROFILE": options.profile, "METHODS": options.methods or None}
    given |= {"DEVICE": options.device, "BATCH": options.batch, "ENGINE": options.engine}
    given |= {"ROUNDS": options.rounds, "THREADS": options.threads}
    given |= {"SCALING": None if options.scaling else 0, "SIDE_BY_SIDE": 1 if options.side_by_side else None}
    defaults = {"PROFILE": "quick"}
    return " ".join(
        ["make speed-memory", *(f"{k}={v}" for k, v in given.items() if v is not None and v != defaults.get(k))]
    )
