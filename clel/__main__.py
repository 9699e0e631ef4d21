"""python -m clel train | sample | evaluate | fid | stats."""

import sys

from clel import cli
from clel.interrupt import interrupt_on_stops
from clel.threads import wait_asleep


def main() -> int:
    """The command line as a program, whose threads sleep while they wait; what only prints a text needs none."""
    if sys.argv[1:] and not {"-h", "--help", "--version"} & set(sys.argv[1:]):
        wait_asleep()
    interrupt_on_stops()
    return cli.main()


if __name__ == "__main__":
    sys.exit(main())
