"""Tables (CSV) that the suite reads back, row by row, each with its place in the file for what is wrong with it."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

from clel.config import ConfigError

T = TypeVar("T")


def read_lines(path: Path, kind: type[T], remedy: str) -> list[T]:
    """The rows of a file as dataclasses whose fields are its columns: text, numbers, True or False. No file, no rows.

    Raises:
        ConfigError: as `csv_rows`; a cell that is no number, or neither True nor False, with the line and the remedy.
    """
    if not path.is_file():
        return []
    hints = get_type_hints(kind)
    found = []
    for where, cells in csv_rows(path, list(hints)):
        try:
            found.append(kind(**{name: _value(hints[name], text) for name, text in cells.items()}))
        except (ValueError, KeyError) as error:
            raise ConfigError(f"{where}: {error}; {remedy}") from None
    return found


def _value(kind: type[Any], text: str) -> Any:
    return {"True": True, "False": False}[text] if kind is bool else kind(text)


def lines_as_csv(lines: Iterable[Any], kind: type[Any]) -> str:
    """The text of such a file."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    names = [f.name for f in fields(kind)]
    writer.writerow(names)
    writer.writerows([getattr(line, name) for name in names] for line in lines)
    return text.getvalue()


def csv_rows(path: Path, columns: Sequence[str]) -> Iterator[tuple[str, dict[str, str]]]:
    """("file, line n", cell by column) of each row of a file with these columns.

    Raises:
        ConfigError: another encoding than UTF-8, with or without a mark at its beginning; other columns; a row with
            more or fewer cells; with the line.
    """
    data = path.read_bytes()
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigError(
            f"{path}, line {line}: not UTF-8 (the byte 0x{data[error.start]:02x}); save the table as CSV UTF-8, which "
            "Excel offers beside CSV"
        ) from None
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    try:
        if tuple(reader.fieldnames or ()) != tuple(columns):
            raise ConfigError(f"{path}: columns are {reader.fieldnames}; expected {list(columns)}")
        for cells in reader:
            where = f"{path}, line {reader.line_num}"
            if None in cells or None in cells.values():
                raise ConfigError(
                    f"{where}: {'more' if None in cells else 'fewer'} cells than columns; quote cells with commas"
                )
            yield where, cells
    except csv.Error as error:
        raise ConfigError(f"{path}, line {reader.line_num}: {error}") from None
