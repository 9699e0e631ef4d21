"""What the tables of a folder are of (table.json), so that none is replaced by another that would have its name."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clel.config import ConfigError, differences, require
from clel.storage.atomic import write_atomically

FILE = "table.json"
SCHEMA = 1


@dataclass(frozen=True)
class Meaning:
    """One table, or what else a folder has one of.

    kind: table1, speed-memory, engines or chains; of each a folder has one. options: those that say what is in it, with
    absolute paths; what was not given (None, "", ()) is left out, so that an option added later changes nothing.
    page: its main file. sign: a text that its page has where it was written before there was a table.json; None where
    no text tells.
    """

    kind: str
    options: dict[str, Any]
    page: str
    sign: str | None = None

    @property
    def given(self) -> dict[str, Any]:
        """The options as JSON has them."""
        return json.loads(json.dumps({k: v for k, v in self.options.items() if v not in (None, "", ())}, default=str))

    def refuse_another(self, folder: Path) -> None:
        """Raise ConfigError, with both, where the folder has a table of this kind that is another one."""
        for place in (folder, *folder.parents):
            require(not place.is_file(), f"{place} is a file; OUT=... names a folder, made where it is missing")
        way = "Nothing was replaced: give another OUT=..., or move that folder away"
        there = _read(folder, way).get(self.kind)
        if there is not None and there != self.given:
            raise ConfigError(
                f"{folder} has {self.kind} of other options (those there -> those given): "
                f"{'; '.join(differences(there, self.given))}. {way}"
            )
        page = folder / self.page
        if there is None and page.is_file() and (self.sign is None or self.sign not in page.read_text("utf-8")):
            made = self.sign or "of these options"
            raise ConfigError(f"{page} has no {FILE} beside it, and does not say that it is {made}. {way}")

    def claim(self, folder: Path) -> None:
        """Write into table.json that the folder's table of this kind is this one; see `refuse_another`."""
        self.refuse_another(folder)
        tables = _read(folder, "") | {self.kind: self.given}
        write_atomically(folder / FILE, json.dumps({"schema": SCHEMA} | tables, indent=1) + "\n")


def _read(folder: Path, way: str) -> dict[str, Any]:
    """The options of every kind of table in the folder."""
    path = folder / FILE
    try:
        values = json.loads(path.read_text("utf-8"))
        schema = values.pop("schema", None)
    except FileNotFoundError:
        return {}
    except (ValueError, AttributeError, TypeError, RecursionError) as error:
        raise ConfigError(f"{path}: cannot be read, so that what the folder has is not known: {error}. {way}") from None
    if schema != SCHEMA:
        raise ConfigError(f"{path}: schema {schema!r}; this version reads {SCHEMA}. {way}")
    return values
