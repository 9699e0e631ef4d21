"""python -m experiments features: at which side EfficientNet-Lite0 orders ladders of corruptions rightly."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from clel.config import require
from clel.data import Images, load
from clel.features.lite0 import DIMENSION, SIDE, lite0_space
from clel.runs.config import choose_device
from clel.storage.atomic import refuse_unwritable_folder
from experiments.features.ladders import pool_of, rungs
from experiments.features.measure import distances
from experiments.features.table import about, features_grid
from experiments.printing.files import write_files
from experiments.printing.headings import data_title
from experiments.printing.markup import latex_comment, titled, to_latex, to_markdown
from experiments.reading.paths import folder_part
from experiments.sweep.meaning import Meaning
from experiments.sweep.naming import OUT


@dataclass(frozen=True)
class Features:
    """Corrupt a data set's images in declared strengths, and find the smallest side at which Lite0 sees what it sees at
    the largest. What was measured stands in the cache; what was interrupted goes on.
    """

    dataset: str = "cifar10"
    """Data set in colour: a name or a path, with @16 behind it averaged to 16x16 first."""
    other: str = "shapes"
    """Another data set, resized to the images' side, of which the last ladder has a share."""
    images: int = 1500
    """Images of a rung, and reference images; more than the 1,280 dimensions."""
    sides: tuple[int, ...] = (32, 64, 96, 128, 160, 224)
    """Sides in pixels that images are resized to before the network, multiples of 32."""
    seeds: int = 1
    """Draws of which images are taken, and of the corruptions: a side must do in each of them."""
    device: str = "auto"
    """cpu, cuda, cuda:1, ...; auto takes a GPU where there is one."""
    out: Path = OUT
    """Folder for features/features.csv, .md and .tex."""


def main(options: Features) -> int:
    """Exit status 0: measured."""
    require(options.images > DIMENSION, f"images is {options.images}; a distance in {DIMENSION} dimensions takes more")
    require(options.seeds >= 1, f"seeds is {options.seeds}; expected at least 1")
    require(len(options.sides) >= 2, "sides: at least two, since they are compared with the largest")
    device = choose_device(options.device)
    images = load(options.dataset, "train")
    folder = options.out / folder_name(options)
    meaning(options, images).refuse_another(folder)
    refuse_unwritable_folder(folder)
    other = load(options.other, "train")
    rows, made = [], []
    for seed in range(options.seeds):
        reference, pool = pool_of(images, other, options.images, seed)
        steps = rungs(pool, seed)
        for side in sorted(options.sides):
            space = lite0_space(device, side)
            found = distances(reference, steps, space, seed, f"features at {side} pixels, seed {seed}:")
            seen = {"features": space.name, "identity": space.identity}
            rows += [{"side": side, "seed": seed, **row, **seen} for row in found["rows"]]
            made.append(found["provenance"])
    for path in write(options, images, pd.DataFrame(rows), made):
        print(path)
    return 0


def write(options: Features, images: Images, rows: pd.DataFrame, made: list[dict[str, Any]]) -> list[Path]:
    """Write features.csv, .md and .tex; return their paths."""
    title = data_title(images.name)
    lines = about(rows, title, options.other, images.content_hash(), SIDE, made, command(options))
    grid, folder = features_grid(rows), options.out / folder_name(options)
    contents = {
        "features.md": "\n\n".join([*map(titled, lines), to_markdown(grid)]),
        "features.tex": latex_comment(lines) + to_latex(grid),
        "features.csv": rows.to_csv(index=False, lineterminator="\n"),
    }
    meaning(options, images).claim(folder)
    return write_files(folder, contents)


def meaning(options: Features, images: Images) -> Meaning:
    """What the table is of; a data set that was given by its path is known by its content."""
    given = {name: getattr(options, name) for name in ("other", "images", "sides", "seeds")}
    given |= {"dataset": images.name, "content": images.content_hash()[:12]}
    return Meaning("features", given, "features.md")


def folder_name(options: Features) -> str:
    """Folder of the table: another one for another data set or size."""
    parts = [] if options.dataset == Features.dataset else [folder_part(options.dataset)]
    return "-".join(["features", *parts])


def command(options: Features) -> str:
    """The command that does this again; of a path the last part, since a table names no folder of a machine."""
    given = {"DATASET": Path(options.dataset).name, "IMAGES": options.images}
    given |= {"SIDES": ",".join(map(str, options.sides)), "SEEDS": options.seeds}
    defaults = {"DATASET": "cifar10", "IMAGES": Features.images}
    defaults |= {"SIDES": ",".join(map(str, Features.sides)), "SEEDS": Features.seeds}
    return " ".join(["make features", *(f"{k}={v}" for k, v in given.items() if v != defaults[k])])
