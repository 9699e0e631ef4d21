"""python -m clel.metrics: download the Inception weights into the cache; see clel/metrics/weights.py."""

from __future__ import annotations

import sys

from clel.metrics.weights import main

if __name__ == "__main__":
    sys.exit(main())
