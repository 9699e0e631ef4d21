"""Times compared with a baseline's: a ratio for each benchmark, how noisy it is, and which are slower or missing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from experiments.speed.numbers import Spread
from experiments.speed.profiles import LEAST

Rounds = Mapping[str, Sequence[float]]


@dataclass(frozen=True)
class Regressions:
    """Lines of a table; the benchmarks that are slower; those of the baseline that did not run."""

    lines: list[str] = field(default_factory=list)
    slower: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)


def comparison(old: Rounds, new: Rounds, limit: float, selected: bool = False) -> Regressions:
    """What became of each benchmark.

    Args:
        old, new: seconds of the rounds, by name.
        limit: see `judged`.
        selected: whether only some of the benchmarks were asked for, so that none can be missing.
    """
    missing = [] if selected else [name for name in old if name not in new]
    shown = [*new, *missing]
    width = max((len(name) for name in shown), default=10)
    lines = [
        f"{'benchmark':<{width}}  {'old ms':>10}  {'new ms':>10}  {'new / old':>9}  {'shortest':>8}  range by quartiles"
    ]
    slower = []
    for name in shown:
        if name not in old or name not in new:
            lines.append(f"{name:<{width}}  {'only in the ' + ('new run' if name in new else 'baseline'):>10}")
            continue
        a, b = Spread.of(old[name]), Spread.of(new[name])
        verdict = judged(old[name], new[name], limit)
        if verdict == "slower":
            slower.append(name)
        ratio, shortest = b.median / a.median, min(new[name]) / min(old[name])
        numbers = f"{1e3 * a.median:>10.2f}  {1e3 * b.median:>10.2f}  {ratio:>9.2f}  {shortest:>8.2f}"
        lines.append(f"{name:<{width}}  {numbers}  {b.low / a.high:.2f} to {b.high / a.low:.2f}  {verdict}".rstrip())
    verdict = f"slower than the baseline: {', '.join(slower)}" if slower else "none is slower than the baseline"
    lines += ["", f"{verdict} (shortest rounds and lower quartiles beyond {limit:g} times)"]
    if selected and len(old) > len(set(old) & set(new)):
        lines.append(f"{len(old) - len(set(old) & set(new))} others of the baseline were not asked for")
    if missing:
        lines.append(f"in the baseline, and did not run: {', '.join(missing)}")
        lines.append("(make bench-save, after a benchmark was renamed or removed on purpose)")
    return Regressions(lines, slower, missing)


def judged(old: Sequence[float], new: Sequence[float], limit: float) -> str:
    """slower, faster, "too few rounds to judge", or nothing where the two may be the same.

    Slower is a ratio beyond `limit` of the shortest rounds and of the lower quartiles as well: what disturbs a round
    makes it longer and never shorter, so these two stay where they are while a few disturbed rounds move the median
    and stretch the range. Faster is the same with old and new exchanged.
    """
    if min(len(old), len(new)) < LEAST:
        return "too few rounds to judge"
    if _slower(old, new, limit):
        return "slower"
    return "faster" if _slower(new, old, limit) else ""


def _slower(old: Sequence[float], new: Sequence[float], limit: float) -> bool:
    return min(new) > limit * min(old) and Spread.of(new).low > limit * Spread.of(old).low
