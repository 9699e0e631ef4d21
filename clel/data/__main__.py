"""python -m clel.data NAME: download a data set into the data root."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from clel.config import ConfigError
from clel.data.download import download
from clel.data.images import DataError
from clel.data.registry import data_root, names


def main(arguments: list[str] | None = None) -> int:
    """Download the data set named on the command line; 0 on success, 1 with a message on stderr otherwise."""
    parser = argparse.ArgumentParser(prog="python -m clel.data", description="Download a data set, checked by hash.")
    parser.add_argument("name", help=f"one of {', '.join(names())}")
    parser.add_argument("--root", type=Path, help="where data sets lie (default: $CLEL_DATA, or ./data)")
    given = parser.parse_args(arguments)
    try:
        for path in download(given.name, given.root or data_root()):
            print(path)
    except (DataError, ConfigError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
