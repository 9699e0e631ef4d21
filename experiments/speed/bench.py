"""python -m experiments bench: run all benchmarks, keep them as a baseline, or compare with one on the same machine."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from clel.config import ConfigError, require
from clel.machine.signals import child_environment
from clel.runs.config import choose_device
from clel.storage.atomic import refuse_unwritable, temporary_folder, write_atomically
from clel.storage.log import plain
from experiments.speed.baseline import load_in_words, loaded, merged, read_baseline, refuse_another_machine, rounds_of
from experiments.speed.brought import brought
from experiments.speed.machine import LoadWatch, busy, machine
from experiments.speed.process import provenance_of_measurements
from experiments.speed.profiles import LEAST
from experiments.speed.regressions import comparison
from experiments.sweep.naming import OUT, PROJECT

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("benchmarks", "tests/benchmarks")
ONE_ROUND = ("--rounds=1", "--benchmark-min-rounds=1", "--benchmark-max-time=0.000001", "--benchmark-warmup=off")
NOTHING = 5
"""pytest's exit status where no test is left to run."""
LOOK = 2.0
"""Seconds for which the load is looked at before a baseline is measured."""
TUNED = ("-p", "experiments.speed.tuned")
BASELINES = {"cpu": Path("bench/baseline.json"), "cuda": Path("bench/baseline-cuda.json")}
"""Below OUT, by the kind of device: a machine with a GPU has both."""


@dataclass(frozen=True)
class Bench:
    """Run every benchmark; with --save keep the times, with --compare compare them with those that were kept."""

    rounds: int | None = None
    """Measured rounds of each at most; 1 only sees that all of them run."""
    select: str = ""
    """Only benchmarks that match by name or file, as pytest's -k has it (chain or iteration). With --save the baseline
    keeps its others."""
    save: bool = False
    """Keep the times in the baseline; not those that other programs disturbed."""
    force: bool = False
    """Keep them all the same."""
    device: str = "cpu"
    """cpu; or cuda, cuda:1, ..., auto, for the engine's switches on a GPU, without what concerns the CPU alone."""
    compare: bool = False
    """Print each median as a ratio to the baseline's; refused on another machine."""
    baseline: Path | None = None
    """The baseline; if not given, results/bench/baseline.json (of a GPU baseline-cuda.json), or where nothing was saved
    there and times are compared, the project's in results/project/bench."""
    limit: float = 1.2
    """A benchmark counts as slower where shortest round and lower quartile are both beyond this ratio."""


@dataclass(frozen=True)
class BenchmarkRounds:
    """By benchmark: the seconds of every round, and what it wrote beside them."""

    rounds: dict[str, list[float]]
    extras: dict[str, dict[str, Any]] = field(default_factory=dict)


def main(options: Bench) -> int:
    """Exit status: 0 done; 1 a benchmark failed, is slower than the baseline's or missing, or times were not kept; 130
    Ctrl-C."""
    require(options.limit >= 1, f"limit is {options.limit}; expected a ratio of at least 1")
    require(options.rounds is None or options.rounds >= 1, f"rounds is {options.rounds}; expected at least 1")
    require(not (options.save and options.compare), "save replaces what compare reads: give one of the two")
    keeps = options.save or options.compare
    require(
        not keeps or options.rounds is None or options.rounds >= LEAST,
        f"rounds is {options.rounds}; a baseline needs at least {LEAST}, since fewer do not show their noise",
    )
    device = choose_device(options.device)
    require(device.type in BASELINES, f"device is {options.device!r}; benchmarks run on cpu or cuda")
    path = options.baseline or OUT / BASELINES[device.type]
    if options.compare and options.baseline is None and not path.exists():
        path = PROJECT / BASELINES[device.type]
    about = machine(device)
    # only a part is replaced where only a part is run
    adds = options.save and bool(options.select) and path.exists()
    old = read_baseline(path) if options.compare or adds else None
    if old is not None:
        refuse_another_machine(old, about, path)
    if options.save and not options.force and (load := load_now()) and busy(load, about):
        print(
            f"{path}: nothing measured {load_in_words(load)}; wait for a quiet machine, or give FORCE=1",
            file=sys.stderr,
        )
        return 1
    if options.save:
        refuse_unwritable(path)
    origin, watch = provenance_of_measurements(device), LoadWatch()
    try:
        found = run(replace(options, device=str(device)))
    except KeyboardInterrupt:
        print("interrupted; benchmarks have no state to go on from, and nothing was kept", file=sys.stderr)
        return 130
    load = watch.read()
    if found is None:
        return 1
    for line in brought(found.extras, options.rounds != 1):
        print(line)
    disturbed = busy(load, about)
    if disturbed:
        print(f"warning: measured {load_in_words(load)}; times are too long", file=sys.stderr)
    if options.save:
        if disturbed and not options.force:
            print(f"{path}: nothing kept; measure on a quiet machine, or keep it with FORCE=1", file=sys.stderr)
            return 1
        kept = {"provenance": origin, "load": load, "benchmarks": found.rounds, "extra_info": found.extras}
        new = merged(old, kept, about)
        write_atomically(path, json.dumps(plain(new), indent=1) + "\n")
        print(f"{path}: {len(found.rounds)} benchmarks kept, of {len(rounds_of(new))} in it")
        return 0
    if old is None:
        return 0
    for line in loaded(old):
        print(line, file=sys.stderr)
    result = comparison(rounds_of(old), found.rounds, options.limit, bool(options.select))
    print("\n".join([f"against {path}", *result.lines]))
    return 1 if result.slower or result.missing else 0


def load_now() -> dict[str, Any]:
    """The load over the next LOOK seconds, in which this process does nothing."""
    watch = LoadWatch()
    time.sleep(LOOK)
    return watch.read()


def run(options: Bench) -> BenchmarkRounds | None:
    """What pytest-benchmark found, in a process with a training's settings; None where a benchmark failed."""
    folders = [folder for folder in FOLDERS if (ROOT / folder).is_dir()]
    if not folders:
        raise ConfigError(f"{ROOT}: has no folder {' or '.join(FOLDERS)}; benchmarks run in a checkout of the source")
    with temporary_folder() as folder:
        path = folder / "rounds.json"
        arguments = [*TUNED, *folders, f"--device={options.device}"]
        arguments += ["--benchmark-enable", "--benchmark-only", f"--benchmark-json={path}"]
        arguments += ["-k", options.select] if options.select else []
        if options.rounds == 1:
            arguments += ONE_ROUND
        elif options.rounds is not None:
            arguments.append(f"--rounds={options.rounds}")
        order = [sys.executable, "-m", "pytest", *arguments]
        status = subprocess.run(order, cwd=ROOT, env=child_environment(), check=False).returncode
        if status == NOTHING:
            there = ", ".join(benchmark_names(folders, options.device))
            raise ConfigError(f"SELECT={options.select}: no benchmark matches; there are {there}")
        if status != 0:
            return None
        benchmarks = json.loads(path.read_text())["benchmarks"]
    return BenchmarkRounds(
        {b["fullname"]: b["stats"]["data"] for b in benchmarks}, {b["fullname"]: b["extra_info"] for b in benchmarks}
    )


def benchmark_names(folders: Sequence[str], device: str = "cpu") -> list[str]:
    """Names of the device's benchmarks in these folders, without their parameters."""
    arguments = [*TUNED, *folders, f"--device={device}", "--benchmark-enable", "--collect-only", "-o", "addopts=-q"]
    listed = subprocess.run(
        [sys.executable, "-m", "pytest", *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    ).stdout
    return list(dict.fromkeys(re.findall(r"^\S+::test_(\w+)", listed, re.MULTILINE)))
