"""Where feature extractors and reference statistics are kept between runs."""

from __future__ import annotations

import os
from pathlib import Path


def cache_root() -> Path:
    """Folder of cached weights, classifiers and statistics: the environment's CLEL_CACHE, or ./cache."""
    return Path(os.environ.get("CLEL_CACHE", "cache"))
