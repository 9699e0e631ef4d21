"""What is measured on one run: chains towards each class, judged, and compared with real images within the class."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from baselines import METHODS
from clel.config import require
from clel.data import Images, load, to_uint8
from clel.features.classifier import classifier_space
from clel.features.space import FeatureSpace
from clel.features.spaces import feature_space
from clel.methods.clel import CLEL
from clel.methods.ebm import LangevinEBM
from clel.metrics import Moments, frechet_distance
from clel.metrics.neighbours import neighbour_metrics
from clel.random import stream
from clel.runs.load import Trained, load_trained
from clel.sampling.conditional import ClassifierGuidedEnergy, Guidance, class_latents, guided_chains, sample_classes
from clel.sampling.fresh import draw_fresh
from clel.storage.log import Notice
from clel.training.representations import probe_accuracies
from experiments.conditional.judge import judge_of, some

LEAST = 6
"""Images of a class from which on its recall is compared: neighbours are counted among at least five others."""
REPRESENTED = 2000
"""Images of each split, at most, that the accuracy of h and u is read on."""


@dataclass(frozen=True)
class Conditional:
    """One measurement. each: chains a class. judge: by which classifier. looked: whether h and u are looked at too."""

    guidance: Guidance
    each: int
    judge: str
    features: str
    looked: bool = True


def measure_run(folder: Path, protocol: Conditional, device: str = "auto") -> tuple[dict[str, Any], Tensor]:
    """The values of a trained run, and its chains towards the classes, uint8 [K each, C, H, W], class by class.

    restarts, of the values: how often a chain started anew, in the mean; each time it takes all its steps again.
    """
    trained = load_trained(folder, METHODS, device)
    anew: list[int] = []
    pixels = towards_classes(trained, protocol.guidance, protocol.each, anew.append)
    plain = unconditional(folder, trained.run.dataset, 2 * protocol.each, device)
    held_out = load(trained.run.dataset, "test").to(trained.images.pixels.device)
    values = described(pixels, protocol, trained.images, held_out, plain)
    values["restarts"] = sum(anew) / len(pixels)
    if protocol.looked and isinstance(trained.method, CLEL):
        values |= probe_accuracies(trained.method, trained.images, held_out, REPRESENTED, trained.run.seed)
    return values, pixels


def measure_real(dataset: str, protocol: Conditional) -> tuple[dict[str, Any], Tensor]:
    """The same of held-out images, as many of each class as there are, at most `each`."""
    train, held_out = load(dataset, "train"), load(dataset, "test")
    assert held_out.labels is not None  # a judge has labels
    places = [torch.nonzero(held_out.labels == label)[: protocol.each, 0] for label in range(len(train.classes))]
    fewest = min(len(p) for p in places)
    pixels = held_out.pixels[torch.cat([p[:fewest] for p in places])]
    return described(pixels, protocol, train, held_out, None), pixels


@torch.no_grad()
def towards_classes(
    trained: Trained, guidance: Guidance, each: int, on_restart: Callable[[int], None] | None = None
) -> Tensor:
    """Chains towards each class, `each` of them: by CLEL's latents, or a classifier's gradient for other EBMs."""
    method, images = trained.method, trained.images
    require(isinstance(method, LangevinEBM), f"{method.title} has no Langevin chains of images to guide")
    assert isinstance(method, LangevinEBM)
    labels = torch.arange(len(images.classes), device=method.device).repeat_interleave(each)
    parts = []
    batch = trained.run.evaluate.batch
    if isinstance(method, CLEL):
        of = class_latents(method, images, guidance.centred)
    else:
        network = classifier_space(images).network.float()
    for number, part in enumerate(labels.split(batch)):
        generator = stream(method.device, trained.run.seed, "conditional", number)
        if isinstance(method, CLEL):
            x = sample_classes(method, of, part, generator, guidance, on_restart)
        else:
            energy = ClassifierGuidedEnergy(method.frozen_energy(), network, part, guidance.weight)
            x = guided_chains(method, energy, len(part), guidance, generator)
        parts.append(to_uint8(x).cpu())
    return torch.cat(parts)


@lru_cache(maxsize=2)
def unconditional(folder: Path, dataset: str, each: int, device: str = "auto") -> Tensor:
    """Fresh unconditional samples of a run, `each` for every class of its data: uint8 [K each, C, H, W]."""
    trained = load_trained(folder, METHODS, device)
    n = each * len(trained.images.classes)
    return draw_fresh(trained.method, n, trained.run.evaluate, trained.run.seed, label="conditional, unguided")


def described(
    pixels: Tensor, protocol: Conditional, train: Images, held_out: Images, plain: Tensor | None
) -> dict[str, Any]:
    """Numbers of images [K n, C, H, W], n towards each class in turn; `plain`: unconditional ones to compare with.

    confusion: how often each class (row) was judged to be each (column). accuracy: mean of its diagonal's shares.
    classes, of each: n, distance (Frechet) to the class's training images, precision and recall with respect to them,
    and, with as many images on both sides, the recall of this class's (recall_matched) and of unconditional samples
    that the judge takes for this class (recall_unconditional); None with fewer than LEAST of them.
    """
    judge, space = judge_of(train.name, protocol.judge), feature_space(protocol.features, train, held_out)
    classes, n = len(train.classes), len(pixels) // len(train.classes)
    given = judge.labels(pixels).view(classes, n)
    confusion = torch.stack([torch.bincount(row, minlength=classes) for row in given])
    shown = some(train)
    assert shown.labels is not None  # a judge has labels
    real, (features, _) = _features(shown, space), space(pixels)
    own = features.view(classes, n, -1)
    free = None if plain is None else space(plain)[0]
    taken = None if plain is None else judge.labels(plain)
    found = []
    for label, name in enumerate(train.classes):
        inside = real[shown.labels.cpu() == label]
        near = neighbour_metrics(inside, own[label])
        of_class: dict[str, Any] = {"class": name, "n": n, "correct": int(confusion[label, label])}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Notice)  # a class has fewer images than features: the table says how many
            of_class["distance"] = frechet_distance(Moments.of(own[label]), Moments.of(inside), force=True)
        of_class |= {"precision": near.precision, "recall": near.recall}
        if free is not None and taken is not None:
            others = free[taken == label][:n]
            of_class |= {"unconditional": int((taken == label).sum()), "matched": len(others)}
            enough = len(others) >= LEAST
            for key, images in (("recall_matched", own[label][: len(others)]), ("recall_unconditional", others)):
                of_class[key] = neighbour_metrics(inside, images).recall if enough else None
        found.append(of_class)
    return {
        "judge": judge.name,
        "judge_accuracy": judge.accuracy,
        "confusion": confusion.tolist(),
        "accuracy": float((confusion.diagonal() / n).double().mean()),
        "classes": found,
    }


_kept: dict[tuple[str, str], Tensor] = {}


def _features(images: Images, space: FeatureSpace) -> Tensor:
    """Features [N, D] of a split; those of the last one are kept, since every run of a table takes the same."""
    key = (images.content_hash(), space.identity)
    if key not in _kept:
        _kept.clear()
        _kept[key] = space(images.pixels)[0]
    return _kept[key]
