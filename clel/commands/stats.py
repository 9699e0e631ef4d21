"""clel stats: the reference statistics of any images, as a file."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from clel.commands.options import parse
from clel.config import require
from clel.evaluation.compare import refuse_other_shape
from clel.evaluation.sides import Target, open_target, refuse_other_features, space_for
from clel.features.chunks import ROWS
from clel.features.reference import Reference, cached, save_statistics
from clel.features.space import FeatureSpace
from clel.runs.config import Methods, choose_device
from clel.storage.atomic import refuse_unwritable
from clel.storage.log import plain


@dataclass(frozen=True)
class StatsOptions:
    """Of what to make statistics, and where to put a copy."""

    a: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="A")]
    """Images: a folder, .zip or .tar, .npy, .npz, .pt, a run's folder, or a data set as NAME or NAME:test; or an .npz
    of statistics, to be checked."""
    features: str = "inception-clean"
    """inception-clean, inception-pytorch, inception-tensorflow, lite0, or classifier (of A, a labelled data set)."""
    out: Path | None = None
    """Where to write a copy that this suite, pytorch-fid and clean-fid read: a name that ends in .npz."""
    device: str = "auto"
    """cpu, cuda, cuda:1, ...; auto takes a GPU where there is one."""
    layout: Literal["CHW", "HWC"] | None = None
    """Order of the axes of an array, where it is not plain."""


def stats_command(arguments: list[str], methods: Methods) -> int:
    """Prints, as JSON, the file, what it is of and what it was made by."""
    o = parse(StatsOptions, None, arguments, "clel stats", "Make, or find in the cache, the statistics of images.")
    require(o.out is None or o.out.suffix == ".npz", f"--out is {o.out}; expected a name that ends in .npz")
    target = open_target(o.a, o.layout)
    require(
        o.out is None or target.file is None,
        f"{target.file}: holds statistics already; --out is for those of images, copy the file instead",
    )
    refuse_other_features(target, o.features)
    space, only = space_for(o.features, target.data_set, choose_device(o.device))
    if target.images is not None:
        refuse_other_shape(target.images.shape, only, target.images.name, space)
    if o.out is not None and target.images is not None:
        rows = min(ROWS, target.images.n)
        refuse_unwritable(o.out, space.dimension * (8 * (space.dimension + 1) + 4 * rows))
    made = target.statistics(space)
    if o.out is not None:
        save_statistics(made, o.out)
    print(json.dumps(plain(_facts(made, target, space, o.out)), indent=1, ensure_ascii=False))
    return 0


def _facts(made: Reference, target: Target, space: FeatureSpace, out: Path | None) -> dict[str, Any]:
    held = target.file
    if target.images is not None:
        held = cached(made.name, target.images.shape, made.images, space)
    notes = list(target.images.conversions) if target.images is not None else []
    if made.n is not None and made.n <= space.dimension:
        notes.append(
            f"{made.n} images are too few for a Fréchet distance in {space.dimension} dimensions, which refuses these "
            "statistics without --force"
        )
    return {
        "path": str(out or held),
        "name": made.name,
        "n": made.n,
        "images": made.images,
        "features": space.name,
        "features_identity": space.identity,
        "dimension": space.dimension,
        "notes": notes,
    }
