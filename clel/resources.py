"""What a run costs: peak memory, and a clock that waits for the device."""

from __future__ import annotations

import platform
import resource
import time
from pathlib import Path

import torch


def peak_memory(device: torch.device) -> tuple[int, str]:
    """Bytes at the peak so far and what they count: "cuda allocated" on a GPU, "process rss" on the CPU.

    On Linux the peak of this program alone (VmHWM); getrusage would also count what its parent held when it forked.
    """
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device), "cuda allocated"
    status = Path("/proc/self/status")
    if status.exists():
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024, "process rss"
    unit = 1 if platform.system() == "Darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit, "process rss"


def now(device: torch.device) -> float:
    """Seconds on a monotonic clock, once the device has done all that was asked of it."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()
