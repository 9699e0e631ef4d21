"""The second column of an ablation: how well a run's score tells a set of images from its test images (AUROC)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from experiments.ood.measure import auroc_of
from experiments.sweep.grid import Cell

SVHN, INTERPOLATED = "svhn", "interpolated"
NONE = "none"
"""OOD=none: distances alone."""


@dataclass(frozen=True)
class AblatedDetection:
    """How the detection of a run is measured: the set's name, and the score."""

    against: str
    score: str


def against(profile: str) -> str:
    """The set of a profile: the paper's where its images are of the paper's size, else one that needs no download."""
    return SVHN if profile in ("small", "paper") else INTERPOLATED


def score_of(cell: Cell) -> str:
    """E(x, h(x)), as the paper's, where an encoder guides the energy; elsewhere E(x)."""
    return "joint" if getattr(getattr(cell.run, "config", None), "beta", 0) > 0 else "energy"


def measure_run(cell: Cell, folder: Path, protocol: AblatedDetection) -> dict[str, Any]:
    """{"auroc": in [0, 1], 1 where every image of the set has a higher score than every test image}."""
    device = getattr(cell.run, "device", "auto")
    return {"auroc": auroc_of(folder, protocol.against, protocol.score, device=device)}
