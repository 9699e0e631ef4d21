"""How threads wait for each other, in programs of the suite: asleep, so that other work on the machine costs its share.

Threads share out an operation, and each waits for the last. The runtimes of OpenMP have them spin meanwhile: some
milliseconds in GNU's, which torch's wheels for Linux bring, 200 ms in LLVM's and Intel's, which others bring. That
answers soonest where every thread has a core to itself. Where one has to wait for a core, the others spend theirs on
spinning, in each of the thousands of operations of an iteration (docs/log/threads.md has numbers).
"""

from __future__ import annotations

import os
import sys

import torch

from clel.machine.signals import held_back

POLICY = "OMP_WAIT_POLICY"
SAID_BY = (POLICY, "GOMP_SPINCOUNT", "KMP_BLOCKTIME", "KMP_LIBRARY")
"""Variables that say how threads wait: OpenMP's own, GNU's, and those of LLVM and Intel."""


def wait_asleep() -> None:
    """Have threads sleep while they wait, of this process and of those it starts, unless the environment says how.

    For programs, before they do anything. A runtime reads its environment when it is loaded, with torch, so that a
    process of several threads starts anew: the same process, program and arguments, once more from its beginning.
    """
    if waiting():
        return
    os.environ[POLICY] = "PASSIVE"
    # one thread waits for nobody; elsewhere than on POSIX systems a program cannot take its own place
    if torch.get_num_threads() > 1 and os.name == "posix" and sys.executable:
        with held_back():
            os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


def waiting() -> str:
    """What the environment says of it, such as OMP_WAIT_POLICY=PASSIVE; "" where the runtime goes its own way."""
    return ", ".join(f"{name}={os.environ[name]}" for name in SAID_BY if os.environ.get(name))
