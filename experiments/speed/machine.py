"""The machine that a time was measured on: what tells it from another, and how busy others kept it meanwhile."""

from __future__ import annotations

import os
import platform
import time
from typing import Any

import torch

from clel.machine.costs import Others
from clel.machine.processor import NATIVE, cpu_flags
from clel.storage.provenance import device_name
from experiments.sweep.local import available_cores

IDLE = 0.1
"""Cores that other programs may keep busy, on average, on a machine that counts as quiet."""


def machine(device: torch.device) -> dict[str, Any]:
    """What a time depends on besides the code: CPU, cores and threads, GPU, and the versions of torch and Python.

    Two results compare only where all of these agree. Nothing here names a machine. Processors of one name may have
    AMX or not, so that the instructions by which they multiply bfloat16 are part of it.
    """
    about: dict[str, Any] = {
        "cpu": device_name(torch.device("cpu")),
        "bfloat16": "by " + ", ".join(native) if (native := sorted(NATIVE & cpu_flags())) else "emulated",
        "cores": available_cores(),
        "threads": torch.get_num_threads(),
        "device": device.type,
    }
    if device.type == "cuda":
        properties = torch.cuda.get_device_properties(device)
        about |= {"gpu": properties.name, "gpu_memory_bytes": properties.total_memory, "cuda": torch.version.cuda}
        about["cudnn"] = torch.backends.cudnn.version()
    return about | {"torch": torch.__version__, "python": platform.python_version(), "system": platform.system()}


class LoadWatch:
    """Load averages before and after, and how many cores other programs kept busy in between.

    The load average counts this program's own threads, and those that just ended; `others` does not
    (clel.machine.costs.Others). None where nothing tells.
    """

    def __init__(self) -> None:
        self.began, self.before = time.monotonic(), load_average()
        self.others = Others()

    def read(self) -> dict[str, Any]:
        """load_before, load_after (of one minute) and others (cores)."""
        seconds, taken = time.monotonic() - self.began, self.others.taken()
        others = max(0.0, taken) / seconds if taken is not None and seconds > 0 else None
        return {"load_before": self.before, "load_after": load_average(), "others": others}


def busy(load: dict[str, Any], about: dict[str, Any]) -> bool:
    """Whether other programs may have taken time from a measurement: their cores and ours together are not there."""
    others = load.get("others")
    if others is None:
        return load.get("load_before") is not None and load["load_before"] > about["cores"]
    # a job with a share of a larger node has cores of its own
    return others > IDLE and others + about["threads"] > (os.cpu_count() or 1)


def load_average() -> float | None:
    """The load average over one minute, None where the system has none."""
    try:
        return os.getloadavg()[0]
    except (AttributeError, OSError):
        return None
