"""What each switch brings, and shares of a ceiling: from the `extra_info` that benchmarks write beside their rounds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Extras = Mapping[str, Mapping[str, Any]]


def brought(extras: Extras, measured: bool = True) -> list[str]:
    """Lines of a table of the benchmarks that measured two things in turn, and a line for each share of a ceiling.

    Args:
        extras: extra_info by benchmark. `alternated` has the two names, `<name>_ms` and `<name>_cpu_ms` their shortest
            rounds in milliseconds on the wall and of processor, `ratio` and `cpu_ratio` first over second; of a GPU
            there are none of processor. `share` is a share of a ceiling, in words `share_of`.
        measured: False where all was tiny and ran once, which is said: those are no times.
    """
    rows = {_short(name): extra for name, extra in extras.items() if "alternated" in extra}
    lines = []
    if rows:
        width = max(map(len, rows))
        processor = all("cpu_ratio" in extra for extra in rows.values())
        titles = ("off ms", "on ms", "off / on", "off cpu ms", "on cpu ms", "off / on")[: 6 if processor else 3]
        how = "shortest rounds, on the wall" + (" and of processor" if processor else "")
        if not measured:
            how = "one round, tiny: that they run, no times"
        head = " ".join(f"{title:>11}" for title in titles)
        lines += [f"what each switch brings ({how})", f"{'':<{width}} {head}"]
        for name, extra in rows.items():
            off, on = extra["alternated"]
            keys = [f"{off}_ms", f"{on}_ms", "ratio"]
            keys += [f"{off}_cpu_ms", f"{on}_cpu_ms", "cpu_ratio"] if processor else []
            numbers = " ".join(f"{extra[key]:>11.2f}" for key in keys)
            named = "" if (off, on) == ("off", "on") else f"  {off} / {on}"
            lines.append(f"{name:<{width}} {numbers}{named}")
    for name, extra in extras.items():
        if "share" in extra:
            lines.append(f"{_short(name)}: {100 * extra['share']:.0f} % of {extra['share_of']}")
    return lines


def _short(name: str) -> str:
    return name.rsplit("::", 1)[-1].removeprefix("test_")
