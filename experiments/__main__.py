"""python -m experiments EXPERIMENT [options]."""

import sys
from collections.abc import Callable

from clel.machine.signals import leave_with_launcher, run_program


def load() -> Callable[[], int]:
    """What the program does once all is imported, which takes seconds."""
    from clel.machine.threads import wait_asleep
    from experiments.cli import main

    wait_asleep()
    leave_with_launcher()
    return main


if __name__ == "__main__":
    sys.exit(run_program(load))
