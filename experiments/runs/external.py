"""Other people's samples as rows of Table 1: external.csv, one set of images a row, each with its source."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from clel.config import LOGISTICS, ConfigError, identity, nearest
from clel.data import DataError, Samples, open_samples
from clel.data.registry import is_name, located, names
from clel.evaluation.evaluate import GRID
from clel.methods.settings import EvaluateConfig
from clel.runs.config import choose_device, run_name, slug
from clel.runs.record import blank_record
from clel.storage.provenance import provenance
from experiments.reading.csv_rows import csv_rows
from experiments.reading.published import load_published
from experiments.runs.references import record_given

EXTERNAL = Path(__file__).parents[1] / "external.csv"
COLUMNS = ("title", "dataset", "samples", "source", "sha256", "published")
NEEDED = COLUMNS[:4]


@dataclass(frozen=True)
class External:
    """One set of samples.

    title: its row's name. dataset: of the table it belongs to. samples: whatever `open_samples` takes. source: paper or
    address. sha256: of the images' content, "" where it was not written down. published: its key in published.csv.
    """

    title: str
    dataset: str
    samples: str
    source: str
    sha256: str = ""
    published: str | None = None


@dataclass(frozen=True)
class ExternalRun:
    """The configuration of measuring one set of samples, all of them, whatever number `evaluate` has."""

    kind: ClassVar[str] = "external"
    external: str
    dataset: str
    samples: str
    source: str
    sha256: str
    seed: int
    evaluate: EvaluateConfig
    device: str = field(default="auto", metadata=LOGISTICS)

    @property
    def name(self) -> str:
        """Its folder's name, as a method's run has."""
        return run_name(self.key, self.dataset, self.seed, identity(self))

    @property
    def key(self) -> str:
        """Its row of the table, fit for a file name."""
        return "external-" + slug(self.external.replace("/", "-"))


def load_external(path: Path = EXTERNAL) -> tuple[External, ...]:
    """Every row of the file.

    Raises:
        ConfigError: no such file, a missing or unknown column, an empty cell of the first four, a sha256 that is none,
            a key that published.csv does not have, or two rows of one title for one data set.
    """
    if not path.is_file():
        raise ConfigError(f"{path}: no such file; expected a table (CSV) with the columns {', '.join(COLUMNS)}")
    found: dict[tuple[str, str], External] = {}
    for where, cells in csv_rows(path, COLUMNS):
        row = _row(cells, where)
        key = (row.dataset, slug(row.title.replace("/", "-")))
        if key in found:
            raise ConfigError(f"{where}: a second row {row.title!r} of {row.dataset}; give it another title")
        found[key] = row
    return tuple(found.values())


def execute_external(run: ExternalRun, folder: Path) -> dict[str, Any]:
    """Measure the samples against the training split and record it as a run is; returns the record."""
    fields = {"method": run.key, "preset": "external", "dataset": run.dataset, "seed": run.seed}
    record = blank_record(folder.name, run, **fields) | {"provenance": provenance(choose_device(run.device))}
    record |= {"protocol": {"chains": "as its authors drew them", "samples_from": run.source}}
    # a look at the first ones is enough: the images themselves are elsewhere
    return record_given(run, folder, record, lambda train, held_out: _checked(run), keep=GRID)


def samples_changed(run: ExternalRun, record: Mapping[str, Any]) -> bool:
    """Whether the samples are other images than those that were measured; False where they can no longer be read."""
    try:
        return open_samples(run.samples).content_hash() != record["protocol"].get("samples_images")
    except (ConfigError, DataError, OSError):
        return False


def _checked(run: ExternalRun) -> Samples:
    samples = open_samples(run.samples)
    if run.sha256 and (found := samples.content_hash()) != run.sha256:
        raise DataError(
            f"{run.samples}: not the images that were declared: SHA-256 {found[:12]}... of their content, declared "
            f"{run.sha256[:12]}..."
        )
    return samples


def _row(cells: Mapping[str, str], where: str) -> External:
    text = {name: cell.strip() for name, cell in cells.items()}
    for name in NEEDED:
        if not text[name]:
            raise ConfigError(f"{where}: column {name!r} is empty")
    if not re.fullmatch(r"([0-9a-f]{64})?", text["sha256"].lower()):
        raise ConfigError(f"{where}: sha256 is {text['sha256']!r}; expected 64 hex digits, as clel fid prints, or none")
    known = {row for _, row, _ in load_published()}
    if text["published"] and text["published"] not in known:
        raise ConfigError(f"{where}: published is {text['published']!r}; {nearest(text['published'], known)}")
    title, dataset, samples, source = (text[name] for name in NEEDED)
    if not is_name(dataset) and located(dataset) is None:
        raise ConfigError(
            f"{where}: dataset is {dataset!r}; give an existing path or a name; {nearest(dataset, names())}"
        )
    return External(title, dataset, samples, source, text["sha256"].lower(), text["published"] or None)
