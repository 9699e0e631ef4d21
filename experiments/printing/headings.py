"""What all tables and figures call things: data sets, feature spaces, and the columns of what the papers report."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from clel.data.side import split_side
from clel.features.space import is_inception
from clel.features.spaces import PRETRAINED, named_as
from experiments.printing.markup import Footnotes, Header
from experiments.sweep.store import Stored

NAMES = {
    "cifar10": "CIFAR-10",
    "cifar10_jpeg": "CIFAR-10, JPEG copy",
    "cifar10_jpeg_test": "CIFAR-10, JPEG copy of the test images",
    "imagenet32": "ImageNet 32x32",
    "celeba64": "CelebA 64x64",
    "celeba32": "CelebA 32x32",
    "dtd": "Textures (DTD)",
}


def data_title(dataset: str) -> str:
    """What a table calls a data set: "CIFAR-10 at 16x16" of "cifar10@16"."""
    plain, side = split_side(dataset)
    name = NAMES.get(plain, plain)
    return name if side is None else f"{name}, at {side}x{side}" if "," in name else f"{name} at {side}x{side}"


def is_fid(features: Sequence[str]) -> bool:
    """Whether the Frechet distances in these feature spaces are FIDs proper."""
    return bool(features) and all(is_inception(name) for name in features)


def feature_spaces(runs: Sequence[Stored]) -> list[str]:
    """The feature spaces that the metrics of these runs were computed in; more than one is a table to distrust."""
    return sorted({str(run.part("protocol").get("features") or "unnamed") for run in runs})


def further_spaces(runs: Iterable[Stored]) -> dict[str, str]:
    """The feature spaces that samples of these runs were measured in besides, by the prefix of their metrics."""
    found: dict[str, str] = {}
    for run in runs:
        protocol = run.part("protocol")
        for key in str(protocol.get("also") or "").split(","):
            if key:
                found.setdefault(key, str(protocol[f"{key}_features"]))
    return found


def distance_lines(shown: str) -> tuple[str, ...]:
    """The heading of the distances of fresh chains in one feature space: only Inception's are called FID.

    Distances in other feature spaces are of another size; the heading itself must say so.
    """
    if is_inception(shown):
        return ("FID ↓", "fresh chains")
    if named_as(shown) in PRETRAINED:
        return ("Fréchet distance,", f"{shown} ↓", "fresh chains")
    return ("Fréchet distance ↓", "fresh chains", f"{shown} features,", "not Inception FID")


def reported_headers(notes: Footnotes, runs: Sequence[Stored], dataset: str, source: str) -> list[Header]:
    """The columns of what the papers report; `source` is the data set that these figures are for."""
    papers = notes.mark(_papers(dataset, source, is_fid(feature_spaces(runs))))
    group = f"reported, {data_title(source)}"
    return [
        Header(("FID ↓",), (papers,), group),
        Header(("time", "h"), (papers,), group),
        Header(("memory", "GB"), (papers,), group),
    ]


def _papers(dataset: str, source: str, inception: bool) -> str:
    name = data_title(source)
    hardware = "Time and memory there are those of one RTX 3090 with 24 GB."
    if source != dataset:
        return (
            f"Another data set and larger networks: what the papers report for {name}, FID in Inception features. Not "
            f"comparable with the columns measured here on {data_title(dataset)}. {hardware}"
        )
    apart = "" if inception else " The distances measured here are in other features and not comparable with it."
    return f"As reported by the papers for {name}, FID in Inception features.{apart} {hardware}"


def distance_title(runs: Mapping[str, Stored]) -> str:
    """The name of an axis of distances."""
    spaces = feature_spaces([run for run in runs.values() if run.ok])
    if is_fid(spaces):
        return "FID, fresh chains"
    return f"Fréchet distance, fresh chains\n({' / '.join(spaces) or 'no'} features, not Inception FID)"
