"""Tables (CSV) that the suite reads back, row by row, each with its place in the file for what is wrong with it."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path

from clel.config import ConfigError


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
    reader = csv.DictReader(text.splitlines(keepends=True), strict=True)
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
