"""How the C library gives memory out, in programs of the suite: what chains use again stays, what is large goes back.

A Langevin step frees its activations, of a MiB or two, and the next asks for the same. glibc returns them to the system
in between and pays for each page anew. The tensors of a training pass, of 8 to 32 MB, it keeps instead, in holes that
the next ones do not fit, so that memory grows by a third (docs/performance.md has the numbers).
"""

from __future__ import annotations

import ctypes
import os
import sys

LARGE = 4 << 20
"""Bytes from which a block is mapped, and unmapped when freed: more than an activation of a chain's piece."""

KEPT = 256 << 20
"""Bytes that may lie free at the top of the heap before they are returned."""

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""Names of glibc's malloc.h."""


def tune_allocator() -> bool:
    """Set both thresholds for this process, and huge pages for torch's large tensors; whether the thresholds took.

    For programs, once and at their start: it concerns all code of the process. It does nothing without glibc, and what
    the environment says of these settings has precedence.
    """
    # read by torch at its first tensor; a page of 2 MB is one fault in the place of 512
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
    if sys.platform != "linux":
        return False
    settings = {
        "MALLOC_MMAP_THRESHOLD_": (M_MMAP_THRESHOLD, LARGE),
        "MALLOC_TRIM_THRESHOLD_": (M_TRIM_THRESHOLD, KEPT),
    }
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):
        return False
    return all(mallopt(name, value) == 1 for key, (name, value) in settings.items() if key not in os.environ)
