"""What was measured on a run, kept in its folder: <run>/measured/<artefact>-<identity of the protocol>.json."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from clel.config import identity, to_dict
from clel.storage.atomic import write_atomically
from clel.storage.log import plain
from clel.storage.provenance import provenance
from experiments.sweep.archive import MEASURED

SCHEMA = 1


def path_of(folder: Path, kind: str, protocol: Any) -> Path:
    """The file of an artefact's measurement under a protocol, a frozen dataclass."""
    return folder / MEASURED / f"{kind}-{identity(protocol)}.json"


def kept(folder: Path, kind: str, protocol: Any, ended: str) -> dict[str, Any] | None:
    """The values that were measured on the run as it is now; None where there are none, or the file is damaged.

    ended: when the run was finished, as its record says. A run that was trained anew since is measured anew.
    """
    try:
        held = json.loads(path_of(folder, kind, protocol).read_text(encoding="utf-8"))
        same = held["schema"] == SCHEMA and held["ended"] == ended and held["protocol"] == plain(to_dict(protocol))
        return dict(held["values"]) if same else None
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None


def keep(
    folder: Path, kind: str, protocol: Any, ended: str, values: Mapping[str, Any], device: torch.device | str = "cpu"
) -> None:
    """Keep the values for `kept`, with what they were measured by."""
    held = {"schema": SCHEMA, "kind": kind, "ended": ended, "protocol": plain(to_dict(protocol))}
    held |= {"values": plain(dict(values)), "provenance": provenance(torch.device(device))}
    write_atomically(path_of(folder, kind, protocol), json.dumps(held, indent=1) + "\n")
