"""Where the fresh samples of a finished run lie: what its record says of them, for those who only want the images."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from clel.config import ConfigError


@dataclass(frozen=True)
class RunSamples:
    """path: uint8 .npy. measured: how many of them were measured, None where the record does not say. status: the
    run's."""

    path: Path
    measured: int | None
    status: str


def is_run(folder: Path) -> bool:
    """Whether it is the folder of a run, finished or not."""
    begun = (folder / "config.json").is_file() and (folder / "log.jsonl").is_file()
    return begun or (folder / "record.json").is_file()


def run_samples(folder: Path) -> RunSamples:
    """The fresh samples of the run in `folder`.

    Raises:
        ConfigError: a run that has not ended or has no samples of fresh chains, a damaged record; with what to do.
    """
    try:
        record = json.loads((folder / "record.json").read_text())
        status, evaluations = record["status"], record["evaluations"] or {}
        places = {source: e["folder"] for source, e in evaluations.items() if e.get("folder")}
        measured = (evaluations.get("fresh", {}).get("metrics") or {}).get("n")
    except FileNotFoundError:
        raise ConfigError(
            f"{folder}: a run that has not ended; start it again, it goes on from its checkpoint"
        ) from None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ConfigError(
            f"{folder}/record.json: damaged, or of another version; name a samples.npy below {folder}/evaluations "
            "to measure that"
        ) from error
    path = folder / places.get("fresh", "") / "samples.npy"
    if "fresh" not in places or not path.is_file():
        others = ", ".join(f"{folder / place}/samples.npy" for source, place in places.items() if source != "fresh")
        raise ConfigError(
            f"{folder}: a run that ended as {status!r}, without samples of fresh chains; only samples can be measured"
            + (f"; it has others: {others}" if others else "")
        )
    return RunSamples(path, measured, status)
