"""python -m experiments EXPERIMENT [options]."""

import sys
from collections.abc import Callable

from clel.machine.signals import leave_with_launcher, run_program
from clel.machine.threads import wait_asleep


def load() -> Callable[[], int]:
    """What the program does once all is imported, which takes seconds."""
    wait_asleep()
    from experiments.cli import main

    leave_with_launcher()
    return main


if __name__ == "__main__":
    sys.exit(run_program(load))
