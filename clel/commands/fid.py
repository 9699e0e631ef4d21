"""clel fid: any images against any others."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from clel.commands.options import parse
from clel.evaluation.compare import compare
from clel.evaluation.sides import open_measured, open_target
from clel.methods.settings import EvaluateConfig
from clel.runs.config import Methods, choose_device
from clel.runs.record import read_record
from clel.storage.log import plain


@dataclass(frozen=True)
class FidOptions:
    """What to measure against what, and how."""

    a: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="A")]
    """Samples: a folder, .zip or .tar of images, .npy, .npz, .pt, a run's folder, or a data set (NAME or NAME:test)."""
    b: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="B")]
    """Reference: the same, or an .npz of statistics (of this suite, pytorch-fid or clean-fid)."""
    features: str = "inception-clean"
    """inception-clean, inception-pytorch, inception-tensorflow, lite0, or classifier (of B, a labelled data set)."""
    force: bool = False
    """Also with no more images than the feature space has dimensions."""
    infinity: bool = False
    """Also extrapolate the distance to infinitely many samples."""
    bootstrap: int = 0
    """Resamplings of A for the interval of the distance, as a run's record has it with 100; 0 for none."""
    seed: int = 0
    """Seed of subsets and resamplings."""
    device: str = "auto"
    """cpu, cuda, cuda:1, ...; auto takes a GPU where there is one."""
    layout: Literal["CHW", "HWC"] | None = None
    """Order of the axes of A's array, where it is not plain. For B write :CHW or :HWC after the file's name."""


def fid_command(arguments: list[str], methods: Methods) -> int:
    """Prints, as JSON, metrics with their protocol and notes."""
    o = parse(FidOptions, None, arguments, "clel fid", "Measure the images A against the images or statistics B.")
    config = EvaluateConfig(features=o.features, bootstrap=o.bootstrap, infinity=o.infinity)
    device = choose_device(o.device)
    found = compare(open_measured(o.a, o.layout), open_target(o.b), config, o.seed, device, o.force)
    record = read_record(Path(o.a))  # of a run's folder: how its samples were drawn
    if record is not None:
        found["protocol"]["samples_protocol"] = record["protocol"]
    print(json.dumps(plain(found), indent=1, ensure_ascii=False))
    return 0
