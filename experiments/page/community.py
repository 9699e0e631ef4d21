"""Rows by others: the submissions that compare with a folder's Table 1, and those that do not, with the reason."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from clel.commands.submit import COMMUNITY
from clel.config import ConfigError
from clel.runs.submission import Submission, read_submission
from clel.storage.provenance import short_commit
from experiments.printing.markup import DASH
from experiments.sweep.store import Stored

SUITE = "clel-benchmark"
SAME = ("name", "features", "features_identity", "resizing", "reference_images", "n_fake")
"""Of the protocol: what must be the same for distances to compare."""


@dataclass(frozen=True)
class Theirs:
    """A row by others: numbers as text."""

    title: str
    authors: str
    url: str
    distance: str
    quality: str
    seconds: str
    chains: str
    commit: str
    suite: str


@dataclass(frozen=True)
class Community:
    """rows: those that compare. refused: (file, reason) of the others."""

    rows: Sequence[Theirs] = ()
    refused: Sequence[tuple[str, str]] = ()


def community(runs: Sequence[Stored], folder: Path = COMMUNITY) -> Community:
    """The submissions of a folder beside a table's runs; none where the table has no run that ended well."""
    own = next((run.part("protocol") for run in runs if run.ok and run.part("training")), None)
    if own is None:
        return Community()
    rows, refused = [], []
    for path in sorted(folder.glob("*.json")):
        try:
            submission = read_submission(path)
        except ConfigError as error:
            refused.append((path.name, str(error).removeprefix(f"{path}: ")))
            continue
        protocol, distance = submission.record["protocol"], submission.record["metrics"].get("fid_fresh")
        if protocol.get("reference_data") != own.get("reference_data"):
            where = f"{protocol.get('reference_data')}, this table's {own.get('reference_data')}"
            refused.append((path.name, f"its data set is {where}"))
            continue
        if distance is None or distance < 0:
            refused.append((path.name, f"its distance is {distance}; expected a number that is not negative"))
            continue
        if _edition(submission.suite) != _edition(version(SUITE)):
            refused.append(
                (path.name, f"measured by version {submission.suite} of the suite, this is {version(SUITE)}")
            )
            continue
        other = [name for name in SAME if protocol.get(name) != own.get(name)]
        if other:
            said = "; ".join(f"{name} is {protocol.get(name)}, here {own.get(name)}" for name in other)
            refused.append((path.name, f"does not compare: {said}"))
        else:
            rows.append(_theirs(submission))
    return Community(rows, refused)


def _edition(number: str) -> list[str]:
    """Of versions that share it, numbers compare: 0.1 of 0.1.3."""
    return number.split(".")[:2]


def _theirs(submission: Submission) -> Theirs:
    record: Mapping[str, Any] = submission.record
    metrics, training, origin = record["metrics"], record["training"] or {}, record["provenance"]
    pair = [metrics.get(f"{name}_fresh") for name in ("precision", "recall")]
    seconds, protocol = training.get("seconds"), record["protocol"]
    chains = f"{protocol.get('steps')} steps, {protocol.get('chains')}" if protocol.get("steps") else ""
    return Theirs(
        submission.title,
        submission.authors,
        submission.url,
        f"{metrics['fid_fresh']:.2f}",
        " / ".join(DASH if value is None else f"{value:.2f}" for value in pair),
        "" if seconds is None else f"{seconds:.0f}",
        chains or str(protocol.get("chains") or ""),
        short_commit(origin) if origin else "",
        submission.suite,
    )
