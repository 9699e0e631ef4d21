"""python -m experiments.speed.cuda: whether what make gpu-check needs is there; exit status 2 where it is not."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.util import find_spec

CHECKED_WITH = ("torch", "torchvision", "numpy", "tyro", "pytest")
"""Modules that the tests of tests/gpu import."""
MEASURED_WITH = ("pytest_benchmark", "pandas", "matplotlib", "scipy", "PIL")
"""And those that the benchmarks and the tables of speed and memory import besides."""


def main() -> int:
    """Print the device, or what was found in its place and what is needed."""
    lacking = not_importable(CHECKED_WITH)
    if lacking:
        print(f"gpu-check: this Python lacks {', '.join(lacking)}; PY=... names another one", file=sys.stderr)
        return 2
    import torch

    if not torch.cuda.is_available():
        print(no_device(torch.__version__, torch.version.cuda, torch.cuda.device_count()), file=sys.stderr)
        return 2
    properties = torch.cuda.get_device_properties(0)
    print(
        f"gpu-check: {properties.name}, {properties.total_memory / 2**30:.0f} GiB, "
        f"compute capability {properties.major}.{properties.minor}; torch {torch.__version__}",
        flush=True,
    )
    if lacking := not_importable(MEASURED_WITH):
        print(f"gpu-check: without {', '.join(lacking)} the tests run, and nothing is measured", file=sys.stderr)
    return 0


def not_importable(modules: Sequence[str]) -> list[str]:
    """Those that this Python cannot import, without importing any."""
    return [name for name in modules if find_spec(name) is None]


def no_device(version: str, built_for: str | None, devices: int) -> str:
    """What to say where torch sees no CUDA device, by the CUDA version it is built for and the devices it counts."""
    if built_for is None:
        found, needed = "built without CUDA", "its driver, and a torch that is built for CUDA (pytorch.org)"
    else:
        found = f"built for CUDA {built_for}, and sees {devices} devices that it can use"
        needed = f"a driver for CUDA {built_for} (nvidia-smi names both)"
    return f"gpu-check: no CUDA device. Found: torch {version}, {found}. Needed: an NVIDIA GPU and {needed}"


if __name__ == "__main__":
    sys.exit(main())
