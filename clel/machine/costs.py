"""What a run costs: peak memory, a clock that waits for the device, and what others took of the processor meanwhile."""

from __future__ import annotations

import os
import platform
import resource
import time
from pathlib import Path

import torch

STAT = Path("/proc/stat")


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


class Others:
    """Seconds of processor that others took: all cores' busy time in /proc/stat, without this process and the children
    that it waited for. Others' own cores of a larger machine count too."""

    def __init__(self) -> None:
        self.before = self._so_far()

    def taken(self) -> float | None:
        """Core-seconds since it was made; None where there is no /proc/stat.

        The system counts in hundredths of a second, so that a short time may come to a little less than 0.
        """
        now = self._so_far()
        return None if self.before is None or now is None else now - self.before

    @staticmethod
    def _so_far() -> float | None:
        if not STAT.exists():
            return None
        ticks = map(int, STAT.read_text().split("\n", 1)[0].split()[1:])
        user, nice, system, _, _, interrupts, soft, steal, *_ = ticks
        own = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
        busy = (user + nice + system + interrupts + soft + steal) / os.sysconf("SC_CLK_TCK")
        return busy - sum(usage.ru_utime + usage.ru_stime for usage in own)
