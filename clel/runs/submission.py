"""A run by others as one file: what it measured and cost, of which samples, by whom and with which version."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from clel.config import ConfigError, from_dict, require, to_dict
from clel.data import open_samples
from clel.runs.config import slug
from clel.runs.record import read_record
from clel.runs.schema import record_fault
from clel.storage.atomic import write_atomically
from clel.storage.log import plain
from clel.storage.provenance import utc_now

SCHEMA = 1
PARTS = (
    *("schema", "name", "method", "preset", "dataset", "seed", "hash", "status", "reason", "config", "metrics"),
    *("protocol", "evaluations", "training", "provenance"),
)
"""Of a record: what a submission has."""


@dataclass(frozen=True)
class Submission:
    """A row by others.

    title: its name in tables. authors: whose it is. url: a paper, or code; "" for none. samples: SHA-256 of the content
    of its samples. suite: version of this suite that measured it. submitted: when, UTC. record: of the run, as
    record.json has it.
    """

    title: str
    authors: str
    samples: str
    suite: str
    submitted: str
    record: dict[str, Any]
    url: str = ""
    schema: int = SCHEMA

    def __post_init__(self) -> None:
        require(self.schema == SCHEMA, f"schema is {self.schema}; this version reads {SCHEMA}")
        require(bool(self.title.strip()) and bool(self.authors.strip()), "title and authors must say something")
        require(
            self.url == "" or self.url.startswith(("https://", "http://")), f"url is {self.url!r}; expected https://"
        )
        wrong = record_fault(self.record, str(self.record.get("name")))
        require(wrong is None, f"record: {wrong}")
        require(self.record["status"] == "ok", f"record: its run ended as {self.record['status']}; only ok makes a row")

    @property
    def file(self) -> str:
        """Name of its file."""
        return f"{slug(self.title.replace('/', '-'))}-{slug(self.record['dataset'])}-{self.samples[:8]}.json"


def submission_of(folder: Path, title: str, authors: str, url: str = "") -> Submission:
    """The submission of a run's folder.

    Raises:
        ConfigError: no record that stands, no samples, or other samples than were measured.
    """
    record = read_record(folder)
    require(record is not None, f"{folder}: no record of a run; clel train and make table1 make such folders")
    assert record is not None
    place = (record["evaluations"].get("fresh") or {}).get("folder")
    require(bool(place), f"{folder}: its record names no samples; clel evaluate {folder} draws and measures them")
    samples = folder / str(place) / "samples.npy"
    require(samples.is_file(), f"{samples}: not there; clel evaluate {folder} draws them again")
    images, measured = open_samples(str(samples)), record["protocol"]
    found, said, n = images.content_hash(), measured.get("samples_images"), measured.get("n_fake")
    require(
        said in (None, found) and n in (None, images.n),
        f"{samples}: not the images that were measured: {images.n:,} here, {n} there",
    )
    kept = {name: record[name] for name in PARTS}
    return Submission(title, authors, found, version("clel-benchmark"), utc_now(), kept, url)


def write_submission(submission: Submission, folder: Path) -> Path:
    """Write it into a folder of submissions; returns its path."""
    path = folder / submission.file
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(plain(to_dict(submission)), indent=1, ensure_ascii=False, allow_nan=False)
    write_atomically(path, (text + "\n").encode())
    return path


def read_submission(path: Path) -> Submission:
    """The submission of a file; raises ConfigError, with the file's name, for one that is damaged or incomplete."""
    try:
        values = json.loads(path.read_text("utf-8"))
        if not isinstance(values, Mapping):
            raise ConfigError("not a JSON object")
        return from_dict(Submission, values)
    except (ValueError, OSError, RecursionError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError(f"{path}: {error}") from None
