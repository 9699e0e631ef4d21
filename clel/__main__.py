"""python -m clel train | sample | evaluate | fid | stats."""

import sys
from collections.abc import Callable

from clel.machine.signals import run_program


def load() -> Callable[[], int]:
    """What the program does once all is imported, which takes seconds."""
    from clel.commands.cli import main
    from clel.machine.threads import wait_asleep

    if sys.argv[1:] and not {"-h", "--help", "--version"} & set(sys.argv[1:]):  # a text needs no threads
        wait_asleep()
    return main


def main() -> int:
    """The command line as a program."""
    return run_program(load)


if __name__ == "__main__":
    sys.exit(main())
