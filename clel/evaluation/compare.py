"""Any images compared with any others, or against statistics: other people's samples get the treatment that runs get.

A is what is measured, B the reference. A Frechet distance is the same both ways round, precision and recall change
places.
"""

from __future__ import annotations

import warnings
from contextlib import nullcontext
from typing import Any

import torch

from clel.data import DataError, Samples
from clel.evaluation.score import collapsed, common_protocol, refuse_extrapolation, score
from clel.evaluation.sides import Shape, Target, refuse_other_features, space_for
from clel.features.chunks import ROWS
from clel.features.reference import Reference
from clel.features.space import FeatureSpace
from clel.features.spaces import PRETRAINED
from clel.methods.settings import EvaluateConfig
from clel.metrics import SingularCovariance, TooFewSamples
from clel.storage.atomic import refuse_unwritable_folder, temporary_folder

FORCE = "; or --force, and then read the kernel distance (KID), for which few images suffice"


def refuse_other_shape(a: Shape, only: Shape | None, name: str, space: FeatureSpace) -> None:
    """Raise DataError where the feature space takes images of another shape (C, H, W) only."""
    if only is not None and a != only:
        raise DataError(
            f"{name}: {_size(a)} images; {space.name} takes {_size(only)} ones; convert them as their model's data "
            f"were, or take features that fit any size: {', '.join(PRETRAINED)}"
        )


def refuse_few_images(name: str, n: int | None, space: FeatureSpace, advice: str = "") -> None:
    """Raise TooFewSamples for n <= D images; None is an unknown number and passes."""
    if n is not None and n <= space.dimension:
        raise TooFewSamples(
            f"{name}: {n} images are too few for a Fréchet distance in {space.dimension} dimensions: take more than "
            f"{space.dimension}{advice}"
        )


def remarks_on_sides(a: Shape, b: Shape | None, space: FeatureSpace) -> list[str]:
    """What to say of images that differ in size or colour, or are not square, where the space takes them anyway."""
    found = []
    if b is not None and a[1:] != b[1:]:
        found.append(
            f"samples are {a[1]}x{a[2]} and reference images {b[1]}x{b[2]}: each are resized from their own size "
            f"({space.resizing}), and what that changes counts in the distance"
        )
    if b is not None and a[0] != b[0]:
        grey, colour = ("samples", "reference images") if a[0] == 1 else ("reference images", "samples")
        found.append(f"{grey} are grey and {colour} in colour: grey is repeated into three channels")
    if a[1] != a[2]:
        found.append(f"samples are {a[1]}x{a[2]}, not square: they are stretched to a square")
    return found


def score_samples(
    samples: Samples, real: Reference, config: EvaluateConfig, seed: int, source: str, force: bool = False
) -> dict[str, Any]:
    """`evaluate.score` of samples of any number: beyond 10,000 their features wait in a temporary folder."""
    title = f"{samples.name}:"
    many = samples.n > ROWS
    with temporary_folder() if many else nullcontext() as place:
        if place is not None:
            refuse_unwritable_folder(place, 4 * samples.n * sum(space.dimension for space in real.spaces))
        return score(samples.chunks, samples.n, real, config, seed, source, place, title, force)


def description(samples: Samples) -> dict[str, Any]:
    """What a protocol says of samples: name, number, content, shape, what was done to them, how many are repeats."""
    return {
        "n_fake": samples.n,
        "samples": samples.name,
        "samples_images": samples.content_hash(),
        "samples_shape": list(samples.shape),
        "samples_conversions": list(samples.conversions),
        "samples_repeats": samples.repeats(),
    }


def repeated(name: str, n: int, repeats: int) -> str:
    """What to say of images of which some are repeats: precision and recall, and distances, are then of fewer."""
    return f"{name}: {repeats:,} of {n:,} images are exact repeats of others"


def compare(
    a: Samples, b: Target, config: EvaluateConfig, seed: int, device: torch.device, force: bool = False
) -> dict[str, Any]:
    """{"metrics": all that `evaluate.score` gives, "protocol": what they depend on, "notes": what a reader must know}.

    Raises:
        TooFewSamples: no more images than dimensions on either side, without `force`; too few to extrapolate.
        DataError, ConfigError: images or features that do not fit; see `space_for` and `refuse_other_shape`.
    """
    refuse_other_features(b, config.features)
    space, only = space_for(config.features, b.data_set, device)
    refuse_other_shape(a.shape, only, a.name, space)
    if not force:
        refuse_few_images(a.name, a.n, space, FORCE)
    about = description(a)
    sides = [(a.name, a.n, about["samples_repeats"])]
    if b.images is not None:
        if not force:
            refuse_few_images(b.images.name, b.images.n, space, FORCE)
        sides.append((b.images.name, b.images.n, b.images.repeats()))
    if not force:
        for name, n, repeats in sides:
            refuse_few_images(f"{name}, repeats counted once", n - repeats, space, FORCE)
    real = b.statistics(space)
    if config.infinity:
        refuse_extrapolation(a.name, a.n, real)
    if not force:
        refuse_few_images(real.name, real.n, space, FORCE)
    shape = only if b.images is None else b.images.shape
    notes = [*remarks_on_sides(a.shape, shape, space), *_gaps(real, b, space), *_of_both(about, real, config)]
    notes += [repeated(name, n, repeats) for name, n, repeats in sides if repeats]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", SingularCovariance)
        metrics = score_samples(a, real, config, seed, "fid", force)
    for warning in caught:
        if not issubclass(warning.category, SingularCovariance):
            warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)
    notes += dict.fromkeys(str(w.message) for w in caught if issubclass(w.category, SingularCovariance))
    notes += [said] if (said := collapsed(metrics)) else []
    data, _, split = real.name.rpartition("/")
    protocol = common_protocol(real, config, seed) | {
        "reference_data": data or None,
        "reference_split": split if data else None,
        "reference_shape": None if shape is None else list(shape),
        "reference_conversions": [] if b.images is None else list(b.images.conversions),
    }
    return {"metrics": metrics, "protocol": protocol | about | {"forced": force}, "notes": notes}


def _gaps(real: Reference, b: Target, space: FeatureSpace) -> list[str]:
    """What a file of statistics leaves open."""
    if b.file is None:
        return []
    found = []
    if real.images == "unknown":
        found.append(
            f"{real.name} does not say in which features it was made: that these are {space.name} is your word "
            "(pytorch-fid's are inception-pytorch; clean-fid's modes clean and legacy_tensorflow are inception-clean "
            "and inception-tensorflow)"
        )
    if real.n is None:
        found.append(f"{real.name} does not say of how many images it is (n_real): too few would bias the distance")
    if real.rows is None:
        found.append(
            f"kid, precision, recall, density and coverage are left out: they take single features, and {real.name} "
            "holds only their mean and covariance"
        )
    return found


def _of_both(about: dict[str, Any], real: Reference, config: EvaluateConfig) -> list[str]:
    found = []
    if about["samples_images"] == real.images:
        found.append("samples and reference are the same images")
    if config.infinity:
        found.append("fid_infinity is over the first images of the files' order: they must not be sorted, as by class")
    return found


def _size(shape: Shape) -> str:
    return f"{'grey' if shape[0] == 1 else 'colour'} {shape[1]}x{shape[2]}"
