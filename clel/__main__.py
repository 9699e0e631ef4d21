"""python -m clel train | sample | evaluate."""

import sys

from clel.cli import main

if __name__ == "__main__":
    sys.exit(main())
