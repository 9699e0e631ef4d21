"""Peak memory of a measurement: allocator peaks on a GPU, on the CPU the process's peak without what imports take."""

from __future__ import annotations

import resource
from contextlib import suppress
from pathlib import Path

import torch
from torch.nn.functional import conv2d

from clel.machine.costs import peak_memory

SHARE = 0.9
"""Of the memory that is free, what a measurement may take before it counts as out of memory."""


def warm_up(device: torch.device) -> None:
    """Load what torch loads at first use: thread pools, matrix and convolution libraries, autograd."""
    x = torch.rand(2, 3, 8, 8, device=device, requires_grad=True)
    w = torch.rand(4, 3, 3, 3, device=device, requires_grad=True)
    y = conv2d(x, w).flatten(1)
    (y @ y.T).sum().backward()
    torch.optim.Adam([w]).step()
    float(w.detach().sum())


def start_of_peak(device: torch.device) -> int:
    """Let the peak start anew at what is held now, and return that: bytes, as `peak_memory` counts them."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    else:
        with suppress(OSError):  # the peak of the imports then is the baseline
            Path("/proc/self/clear_refs").write_text("5")  # VmHWM := VmRSS
    return peak_memory(device)[0]


def limit_memory(device: torch.device) -> None:
    """Let allocations on the CPU fail beyond the memory that is free now, so that a row too large says so.

    Without it the system would end some process, and not always this one.
    """
    free = _available()
    if device.type == "cpu" and free is not None:
        bound = int(SHARE * free) + peak_memory(device)[0]
        resource.setrlimit(resource.RLIMIT_DATA, (bound, resource.getrlimit(resource.RLIMIT_DATA)[1]))


def _available() -> int | None:
    path = Path("/proc/meminfo")
    for line in path.read_text().splitlines() if path.exists() else []:
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return None
