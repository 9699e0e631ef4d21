"""How threads wait for each other, in programs of the suite: asleep, so that other work on the machine costs its share.

Threads share out an operation, and each waits for the last. The runtimes of OpenMP have them spin meanwhile: some
milliseconds in GNU's, which torch's wheels for Linux bring, 200 ms in LLVM's and Intel's, which others bring. That
answers soonest where every thread has a core to itself. Where one has to wait for a core, the others spend theirs on
spinning, in each of the thousands of operations of an iteration (docs/log/threads.md has numbers).
"""

from __future__ import annotations

import os

POLICY = "OMP_WAIT_POLICY"
SAID_BY = (POLICY, "GOMP_SPINCOUNT", "KMP_BLOCKTIME", "KMP_LIBRARY")
"""Variables that say how threads wait: OpenMP's own, GNU's, and those of LLVM and Intel."""


def wait_asleep() -> None:
    """Have threads sleep while they wait, of this process and of those it starts, unless the environment says how.

    For programs, before they import torch: a runtime reads its environment when it is loaded.
    """
    if not wait_settings():
        os.environ[POLICY] = "PASSIVE"


def wait_settings() -> dict[str, str]:
    """What the environment says of how threads wait, by its variables; empty where the runtime goes its own way."""
    return {name: os.environ[name] for name in SAID_BY if os.environ.get(name)}


def waiting() -> str:
    """The same in words, for a record: OMP_WAIT_POLICY=PASSIVE; "" where the runtime goes its own way."""
    return ", ".join(f"{name}={value}" for name, value in wait_settings().items())
