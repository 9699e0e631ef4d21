"""Writes what an artefact is made of into its folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from clel.storage.atomic import write_atomically


def write_files(folder: Path, contents: Mapping[str, str | bytes]) -> list[Path]:
    """Write each file by its name in the folder; returns the paths.

    A figure's PDF of an earlier table goes where its PNG is written without one.
    """
    for name, content in contents.items():
        write_atomically(folder / name, content)
        pdf = Path(name).with_suffix(".pdf")
        if name.endswith(".png") and pdf.as_posix() not in contents:
            (folder / pdf).unlink(missing_ok=True)
    return [folder / name for name in contents]
