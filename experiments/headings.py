"""The headings of Table 1, and the footnotes that say what each column means and what it must not be compared with."""

from __future__ import annotations

from collections.abc import Sequence

from experiments.markup import Footnotes, Header
from experiments.store import Run

NAMES = {"cifar10": "CIFAR-10", "imagenet32": "ImageNet 32x32", "celeba64": "CelebA 64x64"}


def is_inception(features: Sequence[str]) -> bool:
    """Whether the Frechet distances in these feature spaces are FIDs proper."""
    return bool(features) and all(name.lower().startswith("inception") for name in features)


def feature_spaces(runs: Sequence[Run]) -> list[str]:
    """The feature spaces that the metrics of these runs were computed in; more than one is a table to distrust."""
    return sorted({str(run.part("protocol").get("features") or "unnamed") for run in runs})


def headings(notes: Footnotes, runs: Sequence[Run], dataset: str, source: str) -> list[Header]:
    """One Header a column of the printed table, their footnotes added to `notes`.

    runs: those that ended well. dataset: what was measured on. source: the data set of the papers' figures.
    """
    features = feature_spaces(runs)
    inception = is_inception(features)
    space = " / ".join(features) or "no features yet"
    # Frechet distances in other feature spaces are of another size; the heading itself must say so
    apart = () if inception else (f"{space} features,", "not Inception FID")
    distance = notes.mark(_distance(space, inception))
    buffer = notes.mark(
        "The same distance for images of the replay buffer. They come from earlier states of the model, "
        "not from the one that is measured, so it is another quantity than the distance of fresh chains, "
        "which start from noise."
    )
    kinds = sorted({str(kind) for run in runs if (kind := run.part("training").get("peak_memory_kind"))})
    memory = notes.mark(
        f"Peak memory of the process that trained and evaluated ({' / '.join(kinds) or 'not recorded'}), "
        "1 MB = 1,000,000 bytes. Process rss counts the interpreter and the libraries too."
    )
    events = notes.mark("Roll-backs after a divergence, in total over all runs of the row, failed ones included.")
    papers = notes.mark(_papers(dataset, source, inception))
    group = f"reported, {NAMES.get(source, source)}"
    return [
        Header(("",)),
        Header(("FID ↓" if inception else "Fréchet distance ↓", "fresh chains", *apart), (distance,)),
        Header(("distance ↓", "replay buffer"), (buffer,)),
        Header(("KID ↓", "×1000") if inception else ("KID ↓",)),
        Header(("precision ↑",)),
        Header(("recall ↑",)),
        Header(("parameters",)),
        Header(("training", "steps")),
        Header(("training", "s")),
        Header(("memory", "MB"), (memory,)),
        Header(("divergence", "events"), (events,)),
        Header(("FID ↓",), (papers,), group),
        Header(("time", "h"), (papers,), group),
        Header(("memory", "GB"), (papers,), group),
    ]


def _distance(space: str, inception: bool) -> str:
    apart = "" if inception else " It is not an Inception FID and must not be compared with one."
    return (
        f"Fréchet distance between Gaussians fitted to the {space} features of generated and of real images.{apart} "
        "Mean ± sample standard deviation over the n runs that ended well; a dash stands for runs that did not."
    )


def _papers(dataset: str, source: str, inception: bool) -> str:
    name = NAMES.get(source, source)
    hardware = "Time and memory there are those of one RTX 3090 with 24 GB."
    if source != dataset:
        return (
            f"Another data set and larger networks: what the papers report for {name}, FID in Inception features. Not "
            f"comparable with the columns measured here on {NAMES.get(dataset, dataset)}. {hardware}"
        )
    apart = "" if inception else " The distances measured here are in other features and not comparable with it."
    return f"As reported by the papers for {name}, FID in Inception features.{apart} {hardware}"
