"""Where feature extractors and reference statistics are kept between runs."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from clel.storage.log import Notice


def cache_root() -> Path:
    """Folder of cached weights, classifiers and statistics: the environment's CLEL_CACHE, or ./cache without one."""
    return Path(os.environ.get("CLEL_CACHE") or "cache").expanduser()


@contextmanager
def kept_if_possible(what: str) -> Iterator[None]:
    """Inside, something is written into the cache; where that cannot be, a notice says so and work goes on."""
    try:
        yield
    except OSError as error:
        place = Path(str(error.filename)).parent if error.filename else cache_root()
        why = f"{os.strerror(error.errno or 0)}: {place}"
        text = f"{what} could not be kept in the cache ({why}) and will be made again each time"
        warnings.warn(f"{text}; CLEL_CACHE names another folder for it", Notice, stacklevel=2)
