"""What is measured on one run: how often samples show what was asked for, and how near they are to real ones."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from baselines import METHODS
from clel.data import Images, load, to_float, to_uint8
from clel.evaluation.evaluate import save_samples
from clel.features.space import FeatureSpace
from clel.features.spaces import feature_space
from clel.methods.clel import CLEL
from clel.methods.spherical_energy import direction
from clel.metrics import Gaussian, Moments, SingularCovariance, frechet_distance
from clel.metrics.probes import linear_accuracy
from clel.random import stream
from clel.runs.load import load_trained
from clel.sampling.attributes import Conjunction, aims, asked_in_words, attribute_latents, shown, target
from clel.sampling.conditional import Guidance, latents, sample_towards
from clel.storage.log import progress
from experiments.compositional.asked import conditions, conjunction_of
from experiments.compositional.judge import AttributeJudge, attribute_judge
from experiments.compositional.settings import Composing

BATCH = 250
"""Chains at a time, each batch with random numbers of its own."""
PROBED = 5_000
"""Images of each split, at most, that the linear classifiers of attributes see."""
REAL = 20_000
"""Training images, at most, that samples are near to or not."""
KEPT = 16
"""Samples of each thing asked that are kept for the figure."""


def measure_run(folder: Path, protocol: Composing, device: str, grids: Path | None = None) -> dict[str, Any]:
    """The measurement of a run under a protocol: values that JSON has.

    judge: its name and accuracies; h and u: linear accuracy of each attribute from h(x) and from u(x), on held-out
    images; asked: of each condition the share of samples that show each of its terms, and all; the share of real images
    that do (chance); Frechet distance to the training images that do, of its samples and of those that nothing was
    asked of; and the share of samples in which the judge sees something to read.

    grids: folder for an array of the first samples of each condition, in their order.
    """
    held = subject(folder, (*protocol.triples, protocol.alone), device)
    train = held.train
    asked = [conjunction_of(names, train) for names in conditions(protocol.triples, protocol.alone, protocol.whole)]
    drawn = draw_all(held, asked, protocol)
    if grids is not None:
        save_samples(torch.cat([pixels[:KEPT] for pixels in drawn]), grids)
    features = [held.space(pixels)[0] for pixels in drawn]
    found = []
    for one, pixels, own in zip(asked, drawn, features, strict=True):
        having = shown(one, train.attributes, train.values).all(1).cpu()
        real = held.real[having[: len(held.real)]]
        within = Moments.of(real).gaussian if len(real) > 1 else None
        scores = {"distance": distance(own, within), "distance_unasked": distance(features[asked.index(())], within)}
        found.append(shares_shown(one, pixels, held.judge, train) | {"chance": float(having.double().mean())} | scores)
    return {
        "judge": held.judge.name,
        "accuracy": dict(held.judge.accuracy),
        "attribute_of": {value: name for name in held.judge.accuracy for value in train.values[name]},
        **held.known,
        "features": held.space.name,
        "asked": found,
    }


@dataclass(frozen=True)
class ComposedRun:
    """What all measurements of a run share.

    Attributes:
        real: features of training images, the first REAL of them.
        known: {h, u}: linear accuracy of each attribute.
    """

    method: CLEL
    train: Images
    seed: int
    judge: AttributeJudge
    space: FeatureSpace
    real: Tensor
    known: Mapping[str, Mapping[str, float]]


@lru_cache(maxsize=1)
def subject(folder: Path, values: tuple[tuple[str, ...], ...], device: str) -> ComposedRun:
    """The run of a folder, and what is known of these values; kept, since a sweep asks for it often."""
    trained = load_trained(folder, METHODS, device)
    method, train, held_out = trained.method, trained.images, load(trained.run.dataset, "test")
    assert isinstance(method, CLEL)
    attributes = list(
        dict.fromkeys(a.attribute for text in chain.from_iterable(values) for a in conjunction_of((text,), train))
    )
    judge = attribute_judge(train, held_out, attributes)
    space = feature_space(trained.run.evaluate.features, train, held_out)
    known = {key: probes(method, train, held_out, attributes, key) for key in ("h", "u")}
    return ComposedRun(method, train, trained.run.seed, judge, space, space(train.pixels[:REAL])[0], known)


def draw_all(held: ComposedRun, asked: Sequence[Conjunction], protocol: Composing) -> list[Tensor]:
    """Samples of each condition, uint8 [samples, C, H, W] on the CPU."""
    of = attribute_latents(held.method, held.train, protocol.drawing.centred)
    drawn = []
    with progress("composed samples", len(asked), unit="condition") as bar:
        for one in asked:
            drawn.append(draw_condition(held, one, of, protocol))
            bar.update()
    return drawn


def draw_condition(held: ComposedRun, one: Conjunction, of: Mapping[str, Tensor], protocol: Composing) -> Tensor:
    """Samples of one condition, from the latents `of` the attributes, each batch from its own random stream."""
    method, drawing, values = held.method, protocol.drawing, held.train.values
    guidance = Guidance(1.0, drawing.steps, restarts=drawing.restarts)
    t, parts = drawing.weight * target(one, of, values), []
    for number, first in enumerate(range(0, protocol.samples, BATCH)):
        n = min(BATCH, protocol.samples - first)
        generator = stream(method.device, held.seed, "composed", asked_in_words(one), number)
        start = method.sample(n, generator) if drawing.start == "samples" else None
        to_reach = aims(one, of, values, n)
        x = sample_towards(method, t.expand(n, -1), generator, guidance, start, to_reach)
        parts.append(to_uint8(x).cpu())
    return torch.cat(parts)


def shares_shown(asked: Conjunction, pixels: Tensor, judge: AttributeJudge, images: Images) -> dict[str, Any]:
    """How many of the samples show what is asked, and every value of every attribute."""
    found = judge.read(pixels)
    each = shown(asked, found, images.values)
    values = {
        value: float((found[name] == label).double().mean())
        for name in judge.accuracy
        for label, value in enumerate(images.values[name])
    }
    return {
        "words": [a.words for a in asked],
        "samples": len(pixels),
        "each": each.double().mean(0).tolist(),
        "all": float(each.all(1).double().mean()),
        "values": values,
        "legible": None if judge.doubt is None else judge.doubt(pixels),
    }


def distance(own: Tensor, within: Gaussian | None) -> float | None:
    """Frechet distance of features to real ones, also where there are fewer of them than dimensions."""
    if within is None or len(own) < 2:
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SingularCovariance)
        return frechet_distance(Moments.of(own).gaussian, within, force=True)


def probes(method: CLEL, train: Images, held_out: Images, attributes: Sequence[str], key: str) -> dict[str, float]:
    """Linear accuracy on held-out images of each attribute from h(x) or from u(x)."""
    parts = [latents_of(method, images.pixels[:PROBED], key) for images in (train, held_out)]
    labels = [[images.attributes[name][:PROBED].cpu() for name in attributes] for images in (train, held_out)]
    return {
        name: linear_accuracy(parts[0], known, parts[1], truth) if len(set(known.tolist())) > 1 else 1.0
        for name, known, truth in zip(attributes, *labels, strict=True)
    }


@torch.no_grad()
def latents_of(method: CLEL, pixels: Tensor, key: str, batch: int = 500) -> Tensor:
    """h(x) / |h(x)| or u(x) [N, d] on the CPU, without augmentation."""
    if key == "h":
        return latents(method, pixels, batch).cpu()
    network = method.network
    parts = [direction(network, network(to_float(p.to(method.device), None))) for p in pixels.split(batch)]
    return torch.cat(parts).cpu()
