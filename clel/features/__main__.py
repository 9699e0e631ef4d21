"""python -m clel.features: download the weights of Inception, or of DINOv2, into the cache."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from clel.features import dinov2
from clel.networks.weights import PUBLISHED, WeightsError, get_weights


def main(arguments: list[str] | None = None) -> int:
    """Download the files of Inception, or of DINOv2; 0 on success, 1 with a message on stderr otherwise."""
    parser = argparse.ArgumentParser(
        prog="python -m clel.features", description="Download the weights of feature spaces, checked by hash."
    )
    choices = ["inception", "dinov2", *dinov2.ARCHITECTURES]
    parser.add_argument(
        "--features", choices=choices, default="inception", help="whose; dinov2 for both of its networks"
    )
    parser.add_argument("--cache", type=Path, help="the cache folder (default: $CLEL_CACHE, or ./cache)")
    options = parser.parse_args(arguments)
    cache, failed = options.cache, False
    if options.features != "inception":
        try:
            for name in dinov2.ARCHITECTURES if options.features == "dinov2" else (options.features,):
                print(dinov2.get_dinov2(name, cache))
        except WeightsError as error:
            print(error, file=sys.stderr)
            return 1
        return 0
    for weights in PUBLISHED:
        try:
            print(get_weights(weights, cache))
        except WeightsError as error:
            print(error, file=sys.stderr)
            failed = True
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
