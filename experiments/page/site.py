"""Writes the pages: <folder>/index.html, a page of each of its runs, and index.html over all folders of results."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from clel.config import ConfigError
from clel.storage.atomic import write_atomically
from clel.storage.log import counted, plain
from experiments.page.folder import RUNS, read_folder
from experiments.sweep.meaning import FILE

PAGE = "index.html"


def write_pages(out: Path) -> list[Path]:
    """Write every page of the results in `out`; returns the paths, the one over all folders first.

    Raises:
        ConfigError: no folder of results there.
    """
    places = sorted(path.parent for path in out.glob(f"*/{FILE}"))
    if not places:
        raise ConfigError(f"{out}: no results there; make table1, and other artefacts, write them, then make report")
    folders, written = [], []
    for place in places:
        folder = read_folder(place)
        folders.append(folder)
        written.append(_write(place / PAGE, "folder", folder=folder))
        for run in folder.pages:
            written.append(_write(place / RUNS / f"{run.name}.html", "run", run=run, folder=folder))
    return [_write(out / PAGE, "index", folders=folders, place=out.name), *written]


def _write(path: Path, template: str, **values: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    made = environment().get_template(f"{template}.html.j2").render(**values, static=static)
    write_atomically(path, made.encode("utf-8", "replace"))
    return path


@cache
def environment() -> Environment:
    """The templates; whatever they are given is escaped."""
    made = Environment(
        loader=PackageLoader("experiments.page"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {"data": as_data, "counted": counted}
    return made


@cache
def static(name: str) -> Markup:
    """A file of static/ as it is: a program, or a style."""
    return Markup((Path(__file__).parent / "static" / name).read_text("utf-8"))


def as_data(value: Any) -> Markup:
    """JSON that may stand in a <script>."""
    text = json.dumps(plain(value), separators=(",", ":"))
    return Markup(text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e"))
