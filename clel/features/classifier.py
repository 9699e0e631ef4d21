"""The feature space "classifier-v1": a small convolutional classifier trained by one fixed recipe on a training split.

For images on which Inception means nothing, such as 8x8 digits. Trained in float64 from a fixed seed, so that the
features, and the distances in them, are the same on every machine as far as floating point allows.
"""

from __future__ import annotations

import hashlib
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from clel.data import DataError, Images, batch_indices, to_float
from clel.networks.energy_network import Normalise
from clel.random import seeded, stream
from clel.storage import checkpoint
from clel.storage.atomic import drop_unfinished, write_atomically
from clel.storage.cache import cache_root, kept_if_possible
from clel.storage.log import progress

NAME = "classifier-v1"
DIMENSION = 64
ITERATIONS, BATCH, LEARNING_RATE, SEED = 600, 64, 3e-3, 0


class Classifier(nn.Module):
    """Images [N, C, S, S] in [0, 1] -> logits [N, classes]; `features` gives the 64 pooled activations before them."""

    scale: Tensor

    def __init__(self, images: Images) -> None:
        super().__init__()
        spec = images.spec
        layers: list[nn.Module] = [Normalise(spec)]
        channels, size = spec.channels, spec.size
        for width in [32] + [DIMENSION] * max(1, (size // 4).bit_length() - 1):
            layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU()]
            layers += [nn.Conv2d(width, width, 3, padding=1), nn.ReLU()]
            if size > 4:
                layers, size = [*layers, nn.MaxPool2d(2)], size // 2
            channels = width
        self.body = nn.Sequential(*layers)
        self.last = nn.Linear(DIMENSION, len(images.classes))
        self.register_buffer("scale", torch.ones(()))

    def features(self, x: Tensor) -> Tensor:
        """[N, 64], not negative, divided by `scale`."""
        return self.body(x).mean((2, 3)) / self.scale

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.features(x))

    @torch.no_grad()
    def set_scale(self, pixels: Tensor) -> None:
        """Divide the features by one number, such that their mean variance over `pixels` is 1; logits stay as they are.

        The unit of length in the feature space of a classifier is arbitrary, and kernel distances depend on it.
        """
        parts = [self.features(to_float(p, None).to(self.scale)) for p in pixels.split(1000)]
        factor = torch.cat(parts).var(0).mean().sqrt()
        self.scale.mul_(factor)
        self.last.weight.mul_(factor)


@dataclass(frozen=True)
class ClassifierSpace:
    """A trained classifier with its name, identity and accuracy: a FeatureSpace.

    Attributes:
        identity: hash of the recipe and the training images: the same wherever it is trained.
        accuracy: share of the held-out split classified rightly; None where there was none.
        labelled: its classes are those of the data set.
        resizing: what is done to the size of images, in words.
    """

    network: Classifier
    name: str
    identity: str
    accuracy: float | None
    dimension: int = DIMENSION
    labelled: bool = True
    resizing: str = "none"

    @torch.no_grad()
    def __call__(self, pixels: Tensor, batch: int = 1000) -> tuple[Tensor, Tensor]:
        """uint8 images [N, C, S, S] -> features [N, 64] and class probabilities [N, K], float64 on the CPU."""
        parts = []
        for piece in pixels.split(batch):
            f = self.network.features(to_float(piece.to(self.network.last.weight.device), None).double())
            parts.append((f.cpu(), self.network.last(f).softmax(1).cpu()))
        features, probabilities = zip(*parts, strict=True)
        return torch.cat(features), torch.cat(probabilities)


def classifier_space(train: Images, held_out: Images | None = None, cache: Path | None = None) -> ClassifierSpace:
    """The classifier of this training split: from the cache where it is there and whole, otherwise trained and cached.

    Raises:
        DataError: the split has no labels, or fewer than two classes.
    """
    if train.labels is None or len(train.classes) < 2:
        raise DataError(f"{train.name}: a classifier's feature space takes labels of at least two classes")
    recipe = (NAME, DIMENSION, ITERATIONS, BATCH, LEARNING_RATE, SEED, len(train.classes), train.content_hash())
    key = hashlib.sha256(repr(recipe).encode()).hexdigest()
    folder = (cache or cache_root()) / f"{NAME}-{key[:12]}"
    device = train.pixels.device
    with seeded(SEED, NAME):
        network = Classifier(train).double().to(device)
    drop_unfinished(folder)
    found = checkpoint.latest(folder)
    if found is not None:
        network.load_state_dict(found[1]["network"])
    else:
        _fit(network, train)
        network.set_scale(train.pixels)
        with kept_if_possible(f"the classifier of {train.name}"):
            checkpoint.save(folder, ITERATIONS, {"network": network.state_dict()})
    space = ClassifierSpace(network.eval().requires_grad_(False), f"{NAME} ({train.name})", key, None)
    if held_out is None or held_out.labels is None:
        return space
    return replace(space, accuracy=_accuracy(space, held_out, held_out.labels, folder))


def _accuracy(space: ClassifierSpace, held_out: Images, labels: Tensor, folder: Path) -> float:
    """The share of the images that are classified rightly, kept beside the classifier."""
    path = folder / f"accuracy-{held_out.content_hash()[:12]}.txt"
    with suppress(OSError, ValueError):
        return float(path.read_text())
    _, probabilities = space(held_out.pixels)
    accuracy = float((probabilities.argmax(1) == labels.cpu()).double().mean())
    with suppress(OSError):  # of a cache that takes no files it was said already
        write_atomically(path, f"{accuracy!r}\n")
    return accuracy


def _fit(network: Classifier, train: Images) -> None:
    """Train on one thread: sums keep one order on every machine, and float64 convolutions gain little from more."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        _descend(network, train)
    finally:
        torch.set_num_threads(threads)


def _descend(network: Classifier, train: Images) -> None:
    """Adam with a linear decay of the learning rate, cross-entropy, dequantised images; no augmentation."""
    assert train.labels is not None
    optimiser = torch.optim.Adam(network.parameters(), lr=LEARNING_RATE)
    batch = min(BATCH, len(train))
    with progress(f"classifier for the metrics, once for {train.name}", ITERATIONS) as shown:
        for t in range(ITERATIONS):
            for group in optimiser.param_groups:
                group["lr"] = LEARNING_RATE * (1 - t / ITERATIONS)
            chosen = batch_indices(len(train), batch, t, SEED).to(train.pixels.device)
            # drawn on the CPU, whose stream is the same for every device
            x = to_float(train.pixels[chosen].cpu(), stream("cpu", SEED, NAME, t)).double().to(train.pixels.device)
            loss = F.cross_entropy(network(x), train.labels[chosen])
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            optimiser.step()
            shown.update()


__all__ = ["NAME", "Classifier", "ClassifierSpace", "classifier_space"]
