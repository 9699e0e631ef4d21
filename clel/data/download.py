"""Downloads of published files: streamed, checked by hash, put in place atomically."""

from __future__ import annotations

import hashlib
import sys
import urllib.error
import urllib.request
from http.client import HTTPException
from pathlib import Path
from typing import IO

from clel.config import choose
from clel.data import sources
from clel.data.images import DataError
from clel.data.registry import BUNDLED, names
from clel.storage.atomic import refuse_unwritable, replacing
from clel.storage.log import progress

TIMEOUT = 60.0
"""Seconds without an answer after which a server counts as unreachable."""


def download(name: str, root: Path) -> list[Path]:
    """Get the published files of the data set `name` into root/NAME, and return their paths.

    A file that is there with the right hash is kept; one with another hash is replaced. Each process streams to a
    temporary file of its own in that folder and renames it over the target once its hash is right and its bytes are on
    disk; so several processes may do so at once, and a kill leaves no partial file under the final name.

    Raises:
        ConfigError: an unknown name, or no room for its files.
        DataError: no network, a wrong hash, or a data set that must be got by hand (with its page and files).
    """
    choose(dict.fromkeys(names()), name, "data set")
    if name in BUNDLED:
        print(f"{name}: needs no download", file=sys.stderr)
        return []
    if not (files := sources.remotes(name)):
        raise DataError(f"{name!r} cannot be downloaded by a program. {sources.how_to_get(name, root)}")
    folder = sources.folders_of(name, root)[0]
    return [fetch(remote, folder) for remote in files]


def fetch(remote: sources.Remote, folder: Path, variable: str = "CLEL_DATA") -> Path:
    """Get one published file into `folder`, set by the environment's `variable`; return its path. See `download`."""
    target = folder / remote.file
    algorithm = remote.digest.partition(":")[0]
    if target.is_file() and sources.file_digest(target, algorithm) == remote.digest:
        print(f"{target}: already there, hash right", file=sys.stderr)
        return target
    reasons = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for url in remote.urls:
            try:
                _fetch_from(url, target, remote.digest)
            except (urllib.error.URLError, HTTPException, TimeoutError, DataError) as error:
                reasons.append(f"  {url}: {error}")
            else:
                return target
    except OSError as error:
        raise DataError(
            f"{target}: cannot be written ({error}); free space, or set {variable} to another folder"
        ) from error
    raise DataError(
        f"{target}: could not be downloaded from\n" + "\n".join(reasons) + "\nCheck the network and try again; or get "
        f"{remote.file} on a machine with a network and put it into {folder}"
    )


def _fetch_from(url: str, target: Path, digest: str) -> None:
    with urllib.request.urlopen(url, timeout=TIMEOUT) as answer:
        length = answer.headers.get("Content-Length")
        total = int(length) if length and length.isdigit() else None
        refuse_unwritable(target, total or 0)
        with replacing(target) as file:
            found, size = _copy(answer, file, digest.partition(":")[0], total, target.name)
            if total is not None and size < total:
                raise DataError(f"the connection ended after {size} of {total} bytes")
            if found != digest:
                raise DataError(f"what came is {found} ({size} bytes), the published file is {digest}")


def _copy(answer: IO[bytes], file: IO[bytes], algorithm: str, total: int | None, label: str) -> tuple[str, int]:
    """Copy in pieces; returns (digest, bytes)."""
    state = hashlib.new(algorithm, usedforsecurity=False)
    size = 0
    with progress(label, total, unit="B", unit_scale=True) as shown:
        while piece := _read(answer, size):
            file.write(piece)
            state.update(piece)
            size += len(piece)
            shown.update(len(piece))
    return f"{algorithm}:{state.hexdigest()}", size


def _read(answer: IO[bytes], size: int) -> bytes:
    # told apart here from errors of the disk, which are OSErrors too
    try:
        return answer.read(1 << 18)
    except (OSError, HTTPException) as error:
        raise DataError(f"the connection broke after {size} bytes ({error})") from error
