"""Paths of data sets and files that a user gave: as table.json keeps them, and as parts of a folder's name."""

from __future__ import annotations

import hashlib
from pathlib import Path

from clel.data.registry import data_root, located
from clel.data.side import split_side
from clel.runs.config import slug


def absolute(path: str | Path | None) -> str | None:
    """A data set's or file's absolute path; a data set's name, and what lies in the folder of data sets, as it is."""
    if path is None:
        return None
    found = located(path)
    if found is None and "/" in str(path):
        return str(Path(path).expanduser().absolute())  # as while it was there
    if found is None or data_root() in found.parents:
        return str(path)
    return str(found.absolute()) + str(path).removeprefix(split_side(str(path))[0])


def folder_part(path: str | Path) -> str:
    """A data set's or file's part of a folder's name: of one given by its path, also six digits of the path's hash."""
    known = str(absolute(path))
    return slug(known) if "/" not in known else f"{slug(known)}-{hashlib.sha256(known.encode()).hexdigest()[:6]}"
