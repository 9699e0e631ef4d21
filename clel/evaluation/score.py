"""Images are compared with real ones: every metric of a set of samples, and the protocol that it was measured under."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from clel.chains.protocol import Protocol
from clel.config import require, to_dict
from clel.data.augment import NONE
from clel.features.chunks import ChunkedFeatures, features_of
from clel.features.reference import Reference
from clel.features.space import FeatureSpace, is_inception
from clel.methods.settings import EvaluateConfig, TrainConfig
from clel.metrics import (
    Moments,
    TooFewSamples,
    bootstrap_frechet,
    frechet_distance,
    frechet_infinity,
    inception_score,
    kernel_distance,
    neighbour_metrics,
)
from clel.metrics.inception_score import SPLITS
from clel.random import stream

CONFIDENT = 0.9
"""A sample counts as of a class when the classifier gives that class more than this probability."""


def collapsed(metrics: Mapping[str, Any], source: str = "") -> str:
    """What to say where all samples that a classifier is sure of are of one class; empty otherwise.

    source: whose metrics, "fresh"; "" where names have none.
    """
    if metrics.get(f"classes_{source}" if source else "classes") != 1:
        return ""
    return "collapsed: all samples of which the classifier is sure are of one class of the data"


def refuse_few_samples(
    config: EvaluateConfig, train: TrainConfig | None, chains: Tensor | None, real: Reference
) -> None:
    """Raise ConfigError, before training and not after, where an evaluation would have too few images."""
    least = max(space.dimension for space in real.spaces)
    sizes = {"evaluate.samples": config.samples}
    if train is not None and train.evaluate_every:
        sizes["train.evaluate_samples"] = train.evaluate_samples
    if chains is not None:
        sizes["the replay buffer (config.buffer.size)"] = len(chains)
    if config.infinity:
        for one in (real, *real.further.values()):
            refuse_extrapolation("evaluate.samples", config.samples, one)
    for name, size in sizes.items():
        require(
            size > least, f"{name} is {size} images; a Frechet distance in {least} dimensions takes more than {least}"
        )
    k = max(config.neighbours, config.density_neighbours)
    for name, n in (*sizes.items(), ("the reference", real.n)):
        require(
            n is None or n > k,
            f"evaluate.neighbours is {config.neighbours}, density_neighbours {config.density_neighbours}; "
            f"{name} is {n} images, and a set takes more than {k}",
        )


def refuse_extrapolation(name: str, n: int, real: Reference) -> None:
    """Raise TooFewSamples where the bias is no line in 1/n yet over the sizes that n images allow.

    For equal distributions, whose distance is 0, the line of n = 3 D ended at -1.4 and that of n = 15 D at -0.2.
    """
    least = 5 * real.space.dimension
    if n < least:
        raise TooFewSamples(f"{name}: {n} images are too few to extrapolate; it takes {least}, or leave infinity out")


def score(
    pixels: Callable[[], Iterable[Tensor]],
    n: int,
    real: Reference,
    config: EvaluateConfig,
    seed: int,
    source: str,
    folder: Path | None = None,
    name: str = "",
    force: bool = False,
) -> dict[str, Any]:
    """Metrics of n uint8 images against the reference; pixels() gives them in chunks [m, C, H, W], each time anew.

    fid: Frechet distance in the reference's feature space, with fid_se, fid_low, fid_high (bootstrap) and fid_infinity
    where the configuration asks for them; kid, kid_std: kernel distance, mean and standard deviation over subsets;
    precision, recall, density, coverage; n. In a classifier's space confident: share of images with a class above
    probability 0.9, and classes: number of classes among these. In Inception's inception_score and inception_score_std.

    In each further feature space of the reference the same, by the space's name: lite0_fid, lite0_kid, ...

    folder: where features are kept while they are needed, instead of memory.
    force: the distance of no more images than the space has dimensions too.
    """
    values = _score(pixels(), n, real, config, seed, source, folder, name, force)
    for key, other in real.further.items():
        place, title = folder and folder / key, name and f"{name} {key}"
        found = _score(pixels(), n, other, config, seed, source, place, title, force)
        values |= {f"{key}_{metric}": value for metric, value in found.items() if metric != "n"}
    return values


def _score(
    pixels: Iterable[Tensor],
    n: int,
    real: Reference,
    config: EvaluateConfig,
    seed: int,
    source: str,
    folder: Path | None,
    name: str,
    force: bool,
) -> dict[str, Any]:
    """`score` in the reference's own feature space."""
    images = features_of(pixels, n, real.space, folder, name)
    moments = Moments.over(images.features())
    values: dict[str, Any] = {"fid": frechet_distance(moments, real.gaussian, force), "n": images.n}
    if config.bootstrap:
        values |= _interval(images, real, config, stream("cpu", seed, "bootstrap", source))
    if config.infinity:
        refuse_extrapolation("the samples", images.n, real)
        least = max(images.n // 10, 2 * real.space.dimension)
        line = frechet_infinity(real.gaussian, images.features(), images.n, least)
        values |= {"fid_infinity": line.value, "fid_infinity_slope": line.slope, "fid_infinity_least": least}
    return values | _pairwise(images, real, config, seed, source) | _of_probabilities(images, real, seed, source)


def _interval(
    images: ChunkedFeatures, real: Reference, config: EvaluateConfig, generator: torch.Generator
) -> dict[str, Any]:
    """The bootstrap of the distance; None where a resample would have too few different images."""
    try:
        found = bootstrap_frechet(real.gaussian, images.features, generator, config.bootstrap)
    except TooFewSamples:
        return {"fid_se": None, "fid_low": None, "fid_high": None}
    return {"fid_se": found.standard_error, "fid_low": found.low, "fid_high": found.high}


def _pairwise(
    images: ChunkedFeatures, real: Reference, config: EvaluateConfig, seed: int, source: str
) -> dict[str, Any]:
    if real.rows is None:
        return {}
    rows = images.rows()
    kid, kid_std = kernel_distance(real.rows, rows, stream("cpu", seed, "kid", source), config.kid_subset)
    near = neighbour_metrics(real.rows, rows, config.neighbours, config.density_neighbours)
    shares = {name: getattr(near, name) for name in ("precision", "recall", "density", "coverage")}
    return {"kid": kid, "kid_std": kid_std, **shares}


def _of_probabilities(images: ChunkedFeatures, real: Reference, seed: int, source: str) -> dict[str, Any]:
    if is_inception(real.space.name):
        order = stream("cpu", seed, "inception score", source)
        mean, std = inception_score(images.probabilities(), images.n, generator=order)
        return {"inception_score": mean, "inception_score_std": std}
    if not real.space.labelled:
        return {}
    sure, classes = 0, set[int]()
    for chunk in images.probabilities():
        confidence, predicted = chunk.max(1)
        sure += int((confidence > CONFIDENT).sum())
        classes |= set(predicted[confidence > CONFIDENT].tolist())
    return {"confident": sure / images.n, "classes": len(classes)}


def measure_images(pixels: Tensor, real: Reference, config: EvaluateConfig, seed: int, source: str) -> dict[str, Any]:
    """`score` of images in memory, uint8 [N, C, H, W]."""
    return score(lambda: pixels.split(1000), len(pixels), real, config, seed, source)


def brief(config: EvaluateConfig, samples: int) -> EvaluateConfig:
    """The evaluation for a look during training: fewer samples, one feature space, no interval, no extrapolation."""
    return replace(config, samples=samples, also=(), bootstrap=0, infinity=False)


def common_protocol(real: Reference, config: EvaluateConfig, seed: int) -> dict[str, Any]:
    """What every number measured against this reference depends on besides the images."""
    data, _, split = real.name.rpartition("/")
    return {
        **_of_space(real.space),
        **_of_further(real),
        "reference": real.name,
        "reference_data": data,
        "reference_split": split,
        "reference_images": real.images,
        "n_real": real.n,
        "neighbours": config.neighbours,
        "density_neighbours": config.density_neighbours,
        "kid_subset": config.kid_subset,
        "bootstrap": config.bootstrap,
        "seed": seed,
    }


def _of_space(space: FeatureSpace) -> dict[str, Any]:
    """What a protocol says of a feature space."""
    return {
        "features": space.name,
        "features_identity": space.identity,
        "features_accuracy": space.accuracy,
        "resizing": space.resizing,
        **({SPLITS: "drawn by the seed of the evaluation"} if is_inception(space.name) else {}),
    }


def _of_further(real: Reference) -> dict[str, Any]:
    """`also`, the names of the further feature spaces, and of each what is said of the main one, by its name."""
    if not real.further:
        return {}
    facts = {f"{key}_{k}": v for key, other in real.further.items() for k, v in _of_space(other.space).items()}
    return {"also": ",".join(real.further), **facts}


def chain_protocol(config: EvaluateConfig, name: str, protocol: Protocol, start: str) -> dict[str, Any]:
    """How fresh chains were run, by the protocol of that name, and what they started from."""
    weights = {"averaged": "averaged, spectral norm refreshed", "live": "the last ones"}
    return {
        "name": name,
        "n_fake": config.samples,
        "chains": f"fresh, from {start}",
        "steps": config.steps,
        "rounds": len(config.round_steps),
        "restart": protocol.restart,
        "augmentation": "none" if protocol.augmentation == NONE else to_dict(protocol.augmentation),
        "weights": weights[config.weights],
    }


def distance_of(pixels: Iterable[Tensor], real: Reference) -> float:
    """The Frechet distance of uint8 images, in chunks [m, C, H, W], alone."""
    return frechet_distance(Moments.over(real.space(chunk)[0] for chunk in pixels), real.gaussian)
