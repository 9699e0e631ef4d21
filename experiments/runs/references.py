"""Rows of Table 1 that nothing is trained for: given images under the same metrics, and two sets that give a scale."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor

from clel.config import LOGISTICS, ConfigError, choose, identity
from clel.data import DataError, Images, Samples, load
from clel.evaluation.compare import (
    description,
    refuse_few_images,
    refuse_other_shape,
    remarks_on_sides,
    repeated,
    score_samples,
)
from clel.evaluation.evaluate import metrics, save_samples
from clel.evaluation.score import common_protocol
from clel.methods.settings import EvaluateConfig
from clel.metrics import TooFewSamples
from clel.random import stream
from clel.runs.config import choose_device, run_name
from clel.runs.execute import reference_of
from clel.runs.record import blank_record, finished, write_record
from clel.storage.atomic import write_atomically
from clel.storage.provenance import provenance


class Given(Protocol):
    """A run of given images, as far as measuring them needs it."""

    @property
    def dataset(self) -> str: ...
    @property
    def seed(self) -> int: ...
    @property
    def evaluate(self) -> EvaluateConfig: ...
    @property
    def device(self) -> str: ...


@dataclass(frozen=True)
class Bound:
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
    "noise": Bound("Uniform noise", True, _noise),
    "real": Bound("Held-out real images", False, _held_out),
}


@dataclass(frozen=True)
class ReferenceRun:
    """The configuration of a reference's run."""

    kind: ClassVar[str] = "reference"
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

    def images(train: Images, held_out: Images) -> Samples:
        generator = stream("cpu", run.seed, run.reference)
        pixels = choose(REFERENCES, run.reference, "reference").images(train, held_out, run.evaluate.samples, generator)
        return Samples(run.reference, run.reference, len(pixels), train.spec.shape, (), lambda: iter([pixels]))

    fields = {"method": run.reference, "preset": "reference", "dataset": run.dataset, "seed": run.seed}
    record = blank_record(folder.name, run, **fields) | {"provenance": provenance(choose_device(run.device))}
    return record_given(run, folder, record | {"protocol": {"chains": "none"}}, images)


def record_given(
    run: Given,
    folder: Path,
    record: dict[str, Any],
    images: Callable[[Images, Images], Samples],
    keep: int | None = None,
) -> dict[str, Any]:
    """Measure `images(train, held_out)` against the training split as a run's are; returns the record, written.

    Images that cannot be used, since they do not fit the feature space or are too few for it, are a record of status
    "error" with the reason.

    Args:
        record: one with provenance, and in its protocol what is known of the images.
        keep: only the first ones stay in samples.npy; None for all.
    """
    try:
        return _measured(run, folder, record, images, keep)
    except (ConfigError, DataError, TooFewSamples, OSError) as error:
        failed = finished(record | {"reason": str(error)})
        write_record(folder, failed)
        return failed
    except Exception as error:
        write_record(folder, finished(record | {"reason": f"{type(error).__name__}: {error}"}))
        raise


def _measured(
    run: Given,
    folder: Path,
    record: dict[str, Any],
    images: Callable[[Images, Images], Samples],
    keep: int | None,
) -> dict[str, Any]:
    device = choose_device(run.device)
    train, held_out = (load(run.dataset, split).to(device) for split in ("train", "test"))
    samples = images(train, held_out)
    real = reference_of(run.evaluate, train, held_out)
    for space in real.spaces:
        refuse_other_shape(samples.shape, train.spec.shape if space.labelled else None, samples.name, space)
        refuse_few_images(samples.name, samples.n, space)
    protocol = common_protocol(real, run.evaluate, run.seed) | record["protocol"] | description(samples)
    repeats = protocol["samples_repeats"]
    for space in real.spaces:
        refuse_few_images(f"{samples.name}, repeats counted once", samples.n - repeats, space)
    notes = remarks_on_sides(samples.shape, train.spec.shape, real.space)
    protocol |= {"notes": notes + [repeated(samples.name, samples.n, repeats)] * (repeats > 0)}
    place = f"evaluations/{record['method']}"
    save_samples(next(samples.chunks(min(keep or samples.n, samples.n))), folder / place)
    write_atomically(folder / "samples.png", (folder / place / "samples.png").read_bytes())
    values = score_samples(samples, real, run.evaluate, run.seed, "fresh")
    origin = record["provenance"]
    evaluations = {"fresh": {"folder": place, "metrics": values, "protocol": protocol, "provenance": origin}}
    record |= {"status": "ok", "metrics": metrics(evaluations), "protocol": protocol, "evaluations": evaluations}
    record = finished(record)
    write_record(folder, record)
    return record
