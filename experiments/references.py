"""The rows that give Table 1 a scale: uniform noise, and held-out real images, each under the same metrics."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from clel.config import LOGISTICS, choose, identity
from clel.data import Images, load
from clel.evaluate import protocol, reference, score
from clel.metrics import classifier_space
from clel.provenance import provenance
from clel.random import stream
from clel.record import blank_record, finished, write_record
from clel.run import choose_device, run_name, save_images
from clel.settings import EvaluateConfig


@dataclass(frozen=True)
class Reference:
    """Images that stand for a bound: `images(train, held_out, n, generator)` -> uint8 [M, C, H, W]."""

    title: str
    random: bool
    images: Callable[[Images, Images, int, torch.Generator], Tensor]


def _noise(train: Images, held_out: Images, n: int, generator: torch.Generator) -> Tensor:
    return torch.randint(0, 256, (n, *train.spec.shape), dtype=torch.uint8, generator=generator)


def _held_out(train: Images, held_out: Images, n: int, generator: torch.Generator) -> Tensor:
    # in the order of the file where all are shown; a sample of them otherwise, since folders are sorted by class
    pixels = held_out.pixels.cpu()
    return pixels if n >= len(pixels) else pixels[torch.randperm(len(pixels), generator=generator)[:n]]


REFERENCES = {
    "noise": Reference("Uniform noise", True, _noise),
    "real": Reference("Held-out real images", False, _held_out),
}


@dataclass(frozen=True)
class ReferenceRun:
    """The configuration of a reference's run."""

    reference: str
    dataset: str
    seed: int
    evaluate: EvaluateConfig
    device: str = field(default="auto", metadata=LOGISTICS)

    @property
    def name(self) -> str:
        """Its folder's name, as a method's run has."""
        return run_name(self.reference, self.dataset, self.seed, identity(self))


def execute_reference(run: ReferenceRun, folder: Path) -> dict[str, Any]:
    """Measure the reference's images against the training split and record it as a run is; returns the record."""
    device = choose_device(run.device)
    origin = provenance(device)
    train, held_out = load(run.dataset, "train").to(device), load(run.dataset, "test").to(device)
    real = reference(train, classifier_space(train, held_out))
    generator = stream("cpu", run.seed, run.reference)
    pixels = choose(REFERENCES, run.reference, "reference").images(train, held_out, run.evaluate.samples, generator)
    folder.mkdir(parents=True, exist_ok=True)
    save_images(pixels, folder)
    stated = protocol(real, run.evaluate, run.seed) | {"n_fake": len(pixels), "chains": "none", "weights": "none"}
    fields = {"method": run.reference, "preset": "reference", "dataset": run.dataset, "seed": run.seed}
    record = blank_record(folder.name, run, **fields)
    record |= {
        "status": "ok",
        "metrics": score(pixels, real, run.evaluate, run.seed, "fresh"),
        "protocol": stated | {"steps": None},
        "provenance": origin,
    }
    record = finished(record)
    write_record(folder, record)
    return record
