"""Number formats of a device: whether it multiplies bfloat16 itself, and whether that is faster than float32.

The two are not the same. A processor with AMX multiplies bfloat16 many times as fast; one that has AVX512-BF16 and no
AMX may do it at half the rate of float32, or at twice, which no flag tells.
"""

from __future__ import annotations

import time
from functools import cache
from pathlib import Path

import torch
import torch.nn.functional as F

NATIVE = {"amx_bf16", "avx512_bf16", "bf16"}
"""Flags of a CPU that multiplies bfloat16 itself, in the words of /proc/cpuinfo on x86 and ARM."""
IMAGES, CHANNELS, SIZE, ROUNDS = 2, 64, 32, 9
"""Of the 3x3 convolutions that are compared, one or two milliseconds each."""


def multiplies_bfloat16(device: torch.device) -> bool:
    """Whether the device multiplies bfloat16 itself: by its flags on a CPU, compute capability 8 on CUDA.

    Elsewhere it is emulated, and slower than float32.
    """
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    return device.type == "cpu" and bool(NATIVE & cpu_flags())


def prefers_bfloat16(device: torch.device) -> bool:
    """Whether convolutions in bfloat16 take less time than in float32 here: what the engine `fast` goes by.

    Known from what the device is, where it is CUDA or has AMX; else both are timed, once a process.
    """
    if device.type != "cpu" or "amx_bf16" in cpu_flags():
        return multiplies_bfloat16(device)
    return multiplies_bfloat16(device) and faster_in_bfloat16()


def float32_means_float32() -> None:
    """From now on convolutions in float32 multiply in float32 in this process, on CUDA too.

    There torch has them round to the ten bits of TF32, and matrix products not.
    """
    torch.backends.cudnn.allow_tf32 = False


@cache
def cpu_flags(description: Path = Path("/proc/cpuinfo")) -> frozenset[str]:
    """What Linux says the processor can do; empty where it says nothing."""
    try:
        lines = description.read_text().splitlines()
    except OSError:
        return frozenset()
    return frozenset(
        next((line.split(":", 1)[1] for line in lines if line.startswith(("flags", "Features"))), "").split()
    )


@cache
@torch.no_grad()
def faster_in_bfloat16() -> bool:
    """Whether a convolution takes less time in bfloat16: the shortest of some rounds each, in turn, in one thread.

    Formats differ by a factor of 1.5 at least wherever it was tried, so that load, which threads would have to share
    with others, does not decide it.
    """
    image, weight = torch.ones(IMAGES, CHANNELS, SIZE, SIZE), torch.ones(CHANNELS, CHANNELS, 3, 3)
    taken: dict[torch.dtype, list[float]] = {torch.float32: [], torch.bfloat16: []}
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for _ in range(ROUNDS):
            for kind, seconds in taken.items():
                x, w = (t.to(kind, memory_format=torch.channels_last) for t in (image, weight))
                began = time.perf_counter()
                F.conv2d(x, w, padding=1)
                seconds.append(time.perf_counter() - began)
    finally:
        torch.set_num_threads(threads)
    return min(taken[torch.bfloat16]) < min(taken[torch.float32])
