"""Samples are made once and scored many times: the metrics of a method under its averaged weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from clel.augment import NONE, augment
from clel.config import require, to_dict
from clel.data import Images, to_uint8
from clel.langevin import restarted
from clel.log import Progress
from clel.method import Method
from clel.metrics import FeatureSpace, frechet_distance, kernel_distance, moments, precision_recall
from clel.random import stream
from clel.settings import EvaluateConfig, TrainConfig

CONFIDENT = 0.9
"""A sample counts as of a class when the classifier gives that class more than this probability."""


@dataclass(frozen=True)
class Reference:
    """Real images' features, to hold samples against: made once for all evaluations of a run."""

    images: Images
    space: FeatureSpace
    features: Tensor
    moments: tuple[Tensor, Tensor]


def reference(images: Images, space: FeatureSpace) -> Reference:
    """The features [N, D] and moments of real images."""
    features, _ = space(images.pixels)
    return Reference(images, space, features, moments(features))


def refuse_few_samples(
    config: EvaluateConfig, train: TrainConfig | None, chains: Tensor | None, real: Reference
) -> None:
    """Raise ConfigError, before training and not after, where an evaluation would have too few images."""
    least = real.features.shape[1]
    sizes = {"evaluate.samples": config.samples}
    if train is not None and train.evaluate_every:
        sizes["train.evaluate_samples"] = train.evaluate_samples
    if chains is not None:
        sizes["the replay buffer (config.buffer.size)"] = len(chains)
    for name, size in sizes.items():
        require(
            size > least, f"{name} is {size} images; a Frechet distance in {least} dimensions takes more than {least}"
        )


def score(pixels: Tensor, real: Reference, config: EvaluateConfig, seed: int, source: str) -> dict[str, float | int]:
    """Metrics of uint8 images [N, C, H, W] against the reference, their keys ending in `_source` (fresh or buffer).

    fid: Frechet distance in the reference's feature space; kid, kid_std: kernel distance and its standard deviation
    over subsets; precision, recall; confident: share of images with a class above probability 0.9; classes: number of
    classes among these; n: images.
    """
    features, probabilities = real.space(pixels)
    kid, kid_std = kernel_distance(real.features, features, stream("cpu", seed, "kid", source), config.kid_subset)
    precision, recall = precision_recall(real.features, features, config.neighbours)
    confidence, predicted = probabilities.max(1)
    sure = confidence > CONFIDENT
    values: dict[str, float | int] = {
        "fid": frechet_distance(real.moments, moments(features)),
        "kid": kid,
        "kid_std": kid_std,
        "precision": precision,
        "recall": recall,
        "confident": float(sure.double().mean()),
        "classes": int(predicted[sure].unique().numel()),
        "n": len(pixels),
    }
    return {f"{name}_{source}": value for name, value in values.items()}


@torch.no_grad()
def draw(method: Method, n: int, config: EvaluateConfig, seed: int, name: str = "", label: str = "sample") -> Tensor:
    """n fresh samples, uint8 [n, C, H, W] on the CPU, in batches, each batch from its own random stream."""
    device = next(method.parameters()).device
    progress = Progress(name, n) if name else None
    parts: list[Tensor] = []
    for number, start in enumerate(range(0, n, config.batch)):
        generator = stream(device, seed, label, number)
        steps = config.steps // config.rounds
        x = method.sample(min(config.batch, n - start), generator, steps)
        for _ in range(config.rounds - 1):
            x = augment(restarted(x, config.restart, generator), config.augmentation, generator)
            x = method.continue_chains(x, generator, steps)
        parts.append(to_uint8(x).cpu())
        if progress:
            progress.show(start + len(x), "samples")
    return torch.cat(parts)


def protocol(real: Reference, config: EvaluateConfig, seed: int) -> dict[str, Any]:
    """What every number of an evaluation depends on besides the model."""
    return {
        "features": real.space.name,
        "features_identity": real.space.identity,
        "features_accuracy": real.space.accuracy,
        "reference": f"{real.images.name}/{real.images.split}",
        "n_real": len(real.images),
        "n_fake": config.samples,
        "chains": "fresh, from uniform noise",
        "steps": config.steps,
        "rounds": config.rounds,
        "restart": config.restart,
        "augmentation": "none" if config.augmentation == NONE else to_dict(config.augmentation),
        "weights": "averaged, spectral norm refreshed",
        "neighbours": config.neighbours,
        "kid_subset": min(config.kid_subset, config.samples, len(real.images)),
        "seed": seed,
    }
