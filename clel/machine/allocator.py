"""How the C library gives memory out, in programs of the suite: what chains use again stays, what is large goes back.

A Langevin step of the engine `fast` frees its activations, of a MiB or two, and the next asks for the same. glibc
returns them to the system in between and pays for each page anew. The tensors of a training pass, of 8 to 32 MB, it
keeps instead, in holes that the next ones do not fit, so that memory grows by a third. Engines that keep a batch whole
have activations as large as these in their chains as well, and would pay for each page of them anew: they run with the
allocator as it is (docs/log/engine.md has the numbers).
"""

from __future__ import annotations

import ctypes
import os
import sys

ENGINES = ("fast",)
"""For which the settings pay."""

LARGE = 4 << 20
"""Bytes from which a block is mapped, and unmapped when freed: more than an activation of a chain's piece."""

KEPT = 256 << 20
"""Bytes that may lie free at the top of the heap before they are returned."""

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""Names of glibc's malloc.h."""

HUGE_PAGES = "THP_MEM_ALLOC_ENABLE"
SETTINGS = {
    "MALLOC_MMAP_THRESHOLD_": (M_MMAP_THRESHOLD, LARGE),
    "MALLOC_TRIM_THRESHOLD_": (M_TRIM_THRESHOLD, KEPT),
}
"""By the variable that has precedence: what is set, and to how many bytes."""


class _Process:
    """Whether it is a program's of the suite, so that engines may set its allocator; and whether one did."""

    ours = tuned = False


def let_engines_tune() -> None:
    """From now on `tune_allocator` does something. For programs alone, at their start: it concerns all their code."""
    _Process.ours = True


def tune_allocator(engine: str | None) -> bool:
    """Set what pays for a method's engine, in a process of the suite's own; whether glibc's thresholds took.

    Both thresholds, and huge pages for torch's large tensors, which torch looks for at its first tensor. What the
    environment says of these settings has precedence. What is set stays, whatever engine comes later in the process.
    """
    if not _Process.ours or engine not in ENGINES:
        return False
    # a page of 2 MB is one fault instead of 512
    os.environ.setdefault(HUGE_PAGES, "1")
    if sys.platform != "linux":
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):
        return False
    took = all(mallopt(name, value) == 1 for key, (name, value) in SETTINGS.items() if key not in os.environ)
    _Process.tuned = _Process.tuned or took
    return took


def allocation() -> str:
    """The settings in force, in words, for a record: the C library's own, "tuned", and what the environment says."""
    said = [f"{name}={os.environ[name]}" for name in (*SETTINGS, HUGE_PAGES) if name in os.environ]
    return ", ".join(["tuned" if _Process.tuned else "as the C library has it", *said])
