"""python -m experiments bench: run all benchmarks, keep them as a baseline, or compare with one on the same machine."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clel.config import ConfigError, differences, require
from clel.files import write_atomically
from clel.log import plain
from clel.provenance import provenance
from clel.run import choose_device
from experiments.speed.machine import LoadWatch, busy, machine
from experiments.speed.numbers import Spread
from experiments.speed.profiles import LEAST

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("benchmarks", "tests/benchmarks")
ONE_ROUND = ("--rounds=1", "--benchmark-min-rounds=1", "--benchmark-max-time=0.000001", "--benchmark-warmup=off")
SCHEMA = 1


@dataclass(frozen=True)
class Bench:
    """Run every benchmark; with --save keep the times, with --compare hold them against those that were kept."""

    rounds: int | None = None
    """Measured rounds of each at most; 1 only sees that all of them run."""
    select: str = ""
    """Only benchmarks whose names match, as pytest's -k has it."""
    save: bool = False
    """Keep the times in the baseline."""
    compare: bool = False
    """Print each median as a ratio to the baseline's; refused on another machine."""
    baseline: Path = Path("results/bench/baseline.json")
    """The baseline."""
    limit: float = 1.2
    """A benchmark counts as slower beyond this ratio, where the quartiles of the two do not overlap either."""


def main(options: Bench) -> int:
    """Exit status: 0 done, 1 a benchmark failed or is slower than the baseline's."""
    require(options.limit >= 1, f"limit is {options.limit}; expected a ratio of at least 1")
    require(options.rounds is None or options.rounds >= 1, f"rounds is {options.rounds}; expected at least 1")
    require(not (options.save and options.compare), "save replaces what compare reads: give one of the two")
    device = choose_device("auto")
    about = machine(device)
    old = read_baseline(options.baseline) if options.compare else None
    if old is not None:
        refuse_another_machine(old, about, options.baseline)
    origin, watch = provenance(device), LoadWatch()
    found = run(options)
    load = watch.read()
    if found is None:
        return 1
    if busy(load, about):
        print(f"warning: other programs kept {load['others']:.2f} cores busy; times are too long", file=sys.stderr)
    new = {"schema": SCHEMA, "machine": about, "provenance": origin, "load": load, "benchmarks": found}
    if options.save:
        write_atomically(options.baseline, json.dumps(plain(new), indent=1) + "\n")
        print(f"{options.baseline}: {len(found)} benchmarks kept")
    if old is None:
        return 0
    lines, slower = comparison(old["benchmarks"], found, options.limit)
    print("\n".join(lines))
    return 1 if slower else 0


def run(options: Bench) -> dict[str, list[float]] | None:
    """Seconds of every round of every benchmark, by name; None where one failed."""
    folders = [folder for folder in FOLDERS if (ROOT / folder).is_dir()]
    if not folders:
        raise ConfigError(f"{ROOT}: has no folder {' or '.join(FOLDERS)}; benchmarks run in a checkout of the source")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rounds.json"
        arguments = [*folders, "--benchmark-enable", "--benchmark-only", f"--benchmark-json={path}"]
        arguments += ["-k", options.select] if options.select else []
        if options.rounds == 1:
            arguments += ONE_ROUND
        elif options.rounds is not None:
            arguments.append(f"--rounds={options.rounds}")
        status = subprocess.run([sys.executable, "-m", "pytest", *arguments], cwd=ROOT, check=False).returncode
        if status != 0:
            return None
        return {b["fullname"]: b["stats"]["data"] for b in json.loads(path.read_text())["benchmarks"]}


def read_baseline(path: Path) -> dict[str, Any]:
    """The baseline that a file holds; raises ConfigError, saying what to do, where there is none that can be read."""
    try:
        baseline = json.loads(path.read_text())
    except FileNotFoundError:
        raise ConfigError(f"{path}: there is no baseline; make bench-save on this machine writes one") from None
    except ValueError as error:
        raise ConfigError(f"{path}: not readable as JSON ({error}); make bench-save writes another") from None
    if not isinstance(baseline, Mapping) or baseline.get("schema") != SCHEMA:
        raise ConfigError(f"{path}: no baseline of schema {SCHEMA}; make bench-save writes another")
    return dict(baseline)


def refuse_another_machine(old: Mapping[str, Any], about: dict[str, Any], path: Path) -> None:
    """Raise ConfigError, naming the differences, where the baseline was not made on this machine."""
    differ = differences(old["machine"], about)
    if differ:
        raise ConfigError(
            f"{path} was made on another machine, and times of two machines do not compare: {'; '.join(differ)}. "
            "Check out the commit to compare with here and keep its times with make bench-save BASELINE=..."
        )


def comparison(
    old: Mapping[str, Sequence[float]], new: Mapping[str, Sequence[float]], limit: float
) -> tuple[list[str], list[str]]:
    """Lines of a table, and the benchmarks that are slower.

    A ratio is new median / old median; its range is from the new lower quartile over the old upper one to the reverse.
    Slower (faster) is a ratio beyond `limit` (1 / limit) whose range leaves 1 out; of fewer than three rounds
    only the ratio is shown, since they have no range.
    """
    width = max((len(name) for name in [*old, *new]), default=10)
    lines = [f"{'benchmark':<{width}}  {'old ms':>10}  {'new ms':>10}  {'new / old':>9}  range by quartiles"]
    slower = []
    for name in [*new, *(name for name in old if name not in new)]:
        if name not in old or name not in new:
            lines.append(f"{name:<{width}}  {'only in the ' + ('new run' if name in new else 'baseline'):>10}")
            continue
        a, b = Spread.of(old[name]), Spread.of(new[name])
        ratio, low, high = b.median / a.median, b.low / a.high, b.high / a.low
        verdict = ""
        if min(len(old[name]), len(new[name])) < LEAST:
            verdict = "  too few rounds to judge"
        elif ratio > limit and low > 1:
            verdict = "  slower"
            slower.append(name)
        elif ratio < 1 / limit and high < 1:
            verdict = "  faster"
        numbers = f"{1e3 * a.median:>10.2f}  {1e3 * b.median:>10.2f}  {ratio:>9.2f}"
        lines.append(f"{name:<{width}}  {numbers}  {low:.2f} to {high:.2f}{verdict}")
    verdict = f"slower than the baseline: {', '.join(slower)}" if slower else "none is slower than the baseline"
    return [*lines, "", f"{verdict} (beyond {limit:g} times, quartiles apart)"], slower
