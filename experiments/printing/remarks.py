"""Footnotes on single rows of Table 1: whose samples they are, what was done to them, and another number of images."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from clel.storage.provenance import short_commit
from experiments.sweep.store import Declared, Stored


def usual_number(cells: Sequence[Declared], runs: Mapping[str, Stored]) -> int | None:
    """The number of images that most runs were measured on, the larger of two; None where no run ended well."""
    counts = Counter(n for cell in cells for n in _numbers([cell], runs))
    return max(counts, key=lambda n: (counts[n], n)) if counts else None


def remarks(cells: Sequence[Declared], runs: Mapping[str, Stored], usual: int | None) -> list[str]:
    """The footnotes of one row, from its records."""
    found = []
    title = cells[0].title
    for cell in cells:
        run = runs[cell.run_name]
        protocol = run.part("protocol")
        if source := protocol.get("samples_from"):
            found.append(f"{title}: samples by others, from {source}{'; measured here' if run.ok else ''}.")
            done = [*(protocol.get("samples_conversions") or ()), *(protocol.get("notes") or ())]
            found += [f"{title}: {'; '.join(map(str, done))}."] if done else []
    found += [cell.note for cell in cells if cell.note]
    found += _projects(cells, runs)
    others = [n for n in _numbers(cells, runs) if n != usual]
    if others:
        found.append(
            f"{title}: measured on {' / '.join(f'{n:,}' for n in others)} images, most others on {usual:,}. A Fréchet "
            "distance is biased upwards, the more so the fewer the images, so that these do not compare exactly."
        )
    return list(dict.fromkeys(found))


def _projects(cells: Sequence[Declared], runs: Mapping[str, Stored]) -> list[str]:
    """Which runs of a row in a user's table are the project's."""
    own = [run.part("provenance") for cell in cells if (run := runs[cell.run_name]).project and run.record]
    if not own:
        return []
    where = dict.fromkeys(f"commit {short_commit(p)}, {p.get('device') or 'a machine not recorded'}" for p in own)
    which = f"{len(own)} of its {len(cells)} runs {'is' if len(own) == 1 else 'are'} the project's own, not made here"
    return [f"{cells[0].title}: {which} ({'; '.join(where)})."]


def _numbers(cells: Sequence[Declared], runs: Mapping[str, Stored]) -> list[int]:
    """The different numbers of images that the runs of a row which ended well were measured on."""
    numbers = (runs[cell.run_name].part("protocol").get("n_fake") for cell in cells if runs[cell.run_name].ok)
    return list(dict.fromkeys(n for n in numbers if isinstance(n, int)))
