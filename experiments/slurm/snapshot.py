"""A copy of the code that a sweep runs, so that edits while its jobs wait change nothing."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import clel
from clel.storage.atomic import naming_full_disk, write_atomically
from clel.storage.provenance import CODE, NOTE, code_version

ROOT = Path(clel.__file__).resolve().parent.parent


def snapshot(folder: Path, root: Path = ROOT) -> Path:
    """Copy the packages into folder/<hash of their content>, where it is not there yet; returns that.

    Beside them lies what git says of the original, for the provenance of runs that are made with the copy.
    """
    digest = hashlib.sha256()
    files = sorted(code_files(root))
    for path in files:
        digest.update(f"{path.relative_to(root)}\0".encode() + path.read_bytes() + b"\0")
    version = code_version()
    # the same code may be committed between two submissions
    digest.update(json.dumps(version).encode())
    target = folder / digest.hexdigest()[:12]
    if target.is_dir():
        return target
    folder.mkdir(parents=True, exist_ok=True)
    for left in folder.glob(".code-*"):  # of submissions that were killed: one at a time is under way
        shutil.rmtree(left, ignore_errors=True)
    temporary = Path(tempfile.mkdtemp(prefix=".code-", dir=folder))
    try:
        for path in files:
            copy = temporary / path.relative_to(root)
            copy.parent.mkdir(parents=True, exist_ok=True)
            with naming_full_disk(copy, "nothing was submitted"):
                shutil.copyfile(path, copy)
        write_atomically(temporary / NOTE, json.dumps(version) + "\n")
        temporary.chmod(0o755)
        os.rename(temporary, target)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    return target


def code_files(root: Path) -> Iterator[Path]:
    """All that a number can hang on, as far as it is there; no bytecode."""
    for name in CODE:
        path = root / name.removeprefix(":/")
        if path.is_file():
            yield path
        for file in path.rglob("*") if path.is_dir() else ():
            if file.is_file() and "__pycache__" not in file.parts and file.suffix != ".pyc":
                yield file
