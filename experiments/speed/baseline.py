"""The baseline of `make bench-compare`: one or several runs on one machine, each with its commit and its load."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from clel.config import ConfigError, differences
from clel.storage.atomic import read_json
from clel.storage.provenance import short_commit
from experiments.speed.machine import busy

SCHEMA = 2


def read_baseline(path: Path) -> dict[str, Any]:
    """The baseline that a file holds; raises ConfigError, saying what to do, where there is none that can be read."""
    remedy = "make bench-save writes another, once it is removed"
    try:
        baseline: dict[str, Any] = read_json(path, remedy, ("schema", "machine", "runs"))
    except FileNotFoundError:
        raise ConfigError(f"{path}: there is no baseline; make bench-save on this machine writes one") from None
    if baseline["schema"] != SCHEMA:
        raise ConfigError(f"{path}: no baseline of schema {SCHEMA}; {remedy}")
    return baseline


def refuse_another_machine(old: Mapping[str, Any], about: dict[str, Any], path: Path) -> None:
    """Raise ConfigError, naming the differences, where the baseline was not made on this machine.

    What an older baseline does not say of its machine is let pass, with a warning.
    """
    told = {key: value for key, value in about.items() if key in old["machine"]}
    differ = differences(old["machine"], told)
    if differ:
        commits = dict.fromkeys(short_commit(run["provenance"]) for run in old["runs"])
        raise ConfigError(
            f"{path} was made on another machine, and times of two machines do not compare (the baseline's -> this "
            f"one's): {'; '.join(differ)}. Check out the commit to compare with here (the baseline's: "
            f"{', '.join(commits)}) and keep its times with make bench-save BASELINE=..."
        )
    if untold := [f"{key} ({value} here)" for key, value in about.items() if key not in told]:
        print(f"warning: {path} does not say of its machine: {', '.join(untold)}", file=sys.stderr)


def merged(old: Mapping[str, Any] | None, run: Mapping[str, Any], about: dict[str, Any]) -> dict[str, Any]:
    """The baseline with a run's benchmarks replacing those of their names, and all others as they were.

    A run is its provenance, load, benchmarks and what these said of themselves (extra_info); an older one that has no
    benchmark left is dropped.
    """
    runs = []
    for before in old["runs"] if old is not None else []:
        left, said = (
            {name: value for name, value in before.get(key, {}).items() if name not in run["benchmarks"]}
            for key in ("benchmarks", "extra_info")
        )
        if left:
            runs.append({**before, "benchmarks": left, "extra_info": said})
    return {"schema": SCHEMA, "machine": about, "runs": [*runs, dict(run)]}


def rounds_of(baseline: Mapping[str, Any]) -> dict[str, list[float]]:
    """Seconds of every round of every benchmark in it, by name."""
    return {name: rounds for run in baseline["runs"] for name, rounds in run["benchmarks"].items()}


def loaded(baseline: Mapping[str, Any]) -> list[str]:
    """A warning for each of its runs that other programs disturbed: its times are too long, and hide a regression."""
    return [
        f"warning: {len(run['benchmarks'])} benchmarks of the baseline were kept {load_in_words(run['load'])}; "
        "a ratio to them comes out too small"
        for run in baseline["runs"]
        if busy(run["load"], baseline["machine"])
    ]


def load_in_words(load: Mapping[str, Any]) -> str:
    """While others kept 1.90 cores busy; or the load average, where that is all the system tells."""
    if load.get("others") is None:
        return f"at a load average of {load['load_before']:.1f}"
    return f"while other programs kept {load['others']:.2f} cores busy"
