"""python -m clel train | sample | evaluate | fid | stats."""

import sys
from collections.abc import Callable

from clel.machine.signals import run_program
from clel.machine.threads import wait_asleep


def load() -> Callable[[], int]:
    """What the program does once all is imported, which takes seconds."""
    wait_asleep()
    from clel.commands.cli import main

    return main


def main() -> int:
    """The command line as a program."""
    return run_program(load)


if __name__ == "__main__":
    sys.exit(main())
