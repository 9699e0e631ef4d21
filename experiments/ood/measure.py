"""Scores of a trained run for images in and out of distribution, and how well they tell one from the other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from baselines import METHODS
from clel.config import ConfigError, choose
from clel.metrics.ood import auroc, detection
from clel.runs.config import Methods
from clel.runs.load import Trained, load_trained
from experiments.ood.constructions import blurred
from experiments.ood.preparations import PREPARATIONS, SUITE, Prepared
from experiments.ood.sets import SETS, inside, prepared

BETA = 0.1
"""beta of E(x, h(x)). [authors' README of CLEL: 0.1]"""
BETAS = (0.0, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)
"""The values of beta in the figure."""
BLURS = (0.0, 0.3, 0.5, 0.75, 1.0, 1.5, 2.0)
"""Standard deviations in pixels of the blur in the figure."""
TEST = "test"
"""The test images among sets: those in distribution."""
LEVELS = 400
"""Quantiles of the energy that are kept of each set."""
SCORES = {
    "energy": "E(x)",
    "joint": "E(x, h(x))",
    "energy_typicality": "|E(x) − mean|",
    "joint_typicality": "|E(x, h(x)) − mean|",
}
"""Names of the scores, in records and in print; all are low for images like the data."""


@dataclass(frozen=True)
class Detecting:
    """How the detection of a run is measured.

    Attributes:
        sets, preparation: names of SETS and of PREPARATIONS.
        training: training images, at equal distances, whose mean energy typicality is the distance from; fewer if there
            are not as many.
        softened: images of a set, at equal distances, that are blurred for the figure; fewer if there are not as many.
        replicates: of the bootstrap. seed: of it, and of the noise on pixels.
    """

    sets: tuple[str, ...]
    preparation: str = SUITE
    beta: float = BETA
    betas: tuple[float, ...] = BETAS
    blurs: tuple[float, ...] = BLURS
    training: int = 10_000
    softened: int = 2_000
    replicates: int = 1000
    seed: int = 0


@dataclass(frozen=True)
class Energies:
    """E(x) and, of a method that has an encoder, the agreement u(x).h(x)/|h(x)| of images: float64 [N] each."""

    energy: Tensor
    agreement: Tensor | None

    def joint(self, beta: float) -> Tensor:
        """E(x, h(x)) = E(x) - beta u(x).h(x)/|h(x)| (CLEL equation 5 with z = h(x)/|h(x)|)."""
        if self.agreement is None:
            raise ConfigError("E(x, h(x)) takes a method with an encoder, and this one has none")
        return self.energy - beta * self.agreement

    def scores(self, beta: float) -> dict[str, Tensor]:
        """{"energy": E(x), "joint": E(x, h(x))}, the second where there is an encoder."""
        return {"energy": self.energy} | ({} if self.agreement is None else {"joint": self.joint(beta)})


@torch.no_grad()
def energies(trained: Trained, images: Prepared, seed: int = 0, encoder: bool = True) -> Energies:
    """What the trained method, in evaluation mode, makes of the images; its encoder sees them without augmentation.

    encoder: ask it, where there is one.
    """
    method, found, agreements = trained.method, [], []
    for x in images.batches(trained.images.pixels.device, seed):
        found.append(method.energy(x).double().cpu())
        known = method.representations(x) if encoder else {}
        if {"h", "u"} <= known.keys():
            agreements.append((known["h"] * known["u"]).sum(1).double().cpu())
    return Energies(torch.cat(found), torch.cat(agreements) if agreements else None)


def auroc_of(
    folder: Path,
    against: str,
    score: str = "energy",
    preparation: str = SUITE,
    beta: float = BETA,
    device: str = "auto",
    methods: Methods = METHODS,
) -> float:
    """The AUROC of a trained run's test images against one set of SETS, by E(x) ("energy") or E(x, h(x)) ("joint").

    Above 1/2 where the set's images have the higher scores.

    Raises:
        ConfigError, DataError: an unknown name, a set that is not there, a score that the method has not.
    """
    choose(SETS, against, "set of images out of distribution")
    trained = load_trained(folder, methods, device)
    dataset = trained.run.dataset
    images = inside(dataset, preparation), prepared(against, dataset, preparation)
    sides = [energies(trained, side).scores(beta) for side in images]
    return auroc(*(choose(side, score, f"score of {trained.method.title}") for side in sides))


def measure_run(folder: Path, protocol: Detecting, device: str = "auto", methods: Methods = METHODS) -> dict[str, Any]:
    """All of a run, with JSON's values.

    Returns:
        "n_in", "n_training": images; "sets": by set and score the figures of `Detection`; "betas": by set the AUROC at
        each beta of the protocol; "blurs": by set that was blurred the AUROC of E(x) at each blur; "quantiles": of E(x)
        by set, the test images among them, at levels 0, 1/400, ..., 1.
    """
    p = protocol
    trained = load_trained(folder, methods, device)
    dataset = trained.run.dataset
    test = inside(dataset, p.preparation)
    sets = {name: prepared(name, dataset, p.preparation) for name in p.sets}
    known = energies(trained, test, p.seed)
    training = energies(trained, training_images(trained, p), p.seed)
    typical = {name: float(values.mean()) for name, values in training.scores(p.beta).items()}
    values: dict[str, Any] = {"n_in": len(test), "n_training": len(training.energy), "means": typical}
    values |= {"sets": {}, "betas": {}, "blurs": {}, "quantiles": {TEST: quantiles(known.energy)}}
    own = all_scores(known, p.beta, typical)
    for name, images in sets.items():
        other = energies(trained, images, p.seed)
        values["quantiles"][name] = quantiles(other.energy)
        theirs = all_scores(other, p.beta, typical)
        values["sets"][name] = {
            score: asdict(detection(own[score], theirs[score], p.seed, p.replicates)) for score in own
        }
        if known.agreement is not None:
            values["betas"][name] = [auroc(known.joint(beta), other.joint(beta)) for beta in p.betas]
    for name, images in {TEST: test, **{n: i for n, i in sets.items() if SETS[n].dataset is not None}}.items():
        some = replace(images, parts=tuple(spaced(part, p.softened) for part in images.parts))
        other_side = [energies(trained, softened(some, sigma), p.seed, encoder=False) for sigma in p.blurs]
        values["blurs"][name] = [auroc(known.energy, side.energy) for side in other_side]
    return values


def training_images(trained: Trained, protocol: Detecting) -> Prepared:
    """The images in distribution that the mean is of, prepared as the test images are."""
    pixels = spaced(trained.images.pixels, protocol.training)
    return Prepared("train", (pixels,), PREPARATIONS[protocol.preparation].noise)


def spaced(pixels: Tensor, most: int) -> Tensor:
    """`most` of the images at the most, at equal distances."""
    return pixels[:: max(1, -(-len(pixels) // most))]


def all_scores(known: Energies, beta: float, typical: Mapping[str, float]) -> dict[str, Tensor]:
    """Every score by its name in SCORES; typicality is the distance from the mean of training images."""
    scores = known.scores(beta)
    return scores | {f"{name}_typicality": (values - typical[name]).abs() for name, values in scores.items()}


def softened(images: Prepared, sigma: float) -> Prepared:
    """The same images after a blur, under other random numbers than theirs."""
    return replace(
        images, name=f"{images.name} blurred", parts=tuple(blurred(part.cpu(), sigma) for part in images.parts)
    )


def quantiles(values: Tensor) -> list[float]:
    """Those of the levels 0, 1/400, ..., 1."""
    return torch.quantile(values, torch.linspace(0, 1, LEVELS + 1, dtype=torch.float64)).tolist()
