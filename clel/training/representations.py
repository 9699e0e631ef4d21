"""What a method knows of its images, looked at along training: the accuracy of classifiers on its representations."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from clel.data import Images, to_float
from clel.methods.method import Method
from clel.metrics.probes import knn_accuracy, linear_accuracy
from clel.random import stream


@torch.no_grad()
def represented(method: Method, pixels: Tensor, batch: int = 500) -> dict[str, Tensor]:
    """The method's representations [N, D] of uint8 images [N, C, H, W] by name, on the CPU."""
    parts = [method.representations(to_float(part, None)) for part in pixels.split(batch)]
    return {name: torch.cat([part[name].float().cpu() for part in parts]) for name in (parts[0] if parts else {})}


def probe_accuracies(method: Method, train: Images, held_out: Images, images: int, seed: int) -> dict[str, float]:
    """knn_<name> and linear_<name>: accuracies on at most `images` images of each split, drawn by the seed.

    Nothing of a method without representations, or of images without labels. The method is in evaluation mode.
    """
    if train.labels is None or held_out.labels is None:
        return {}
    parts = [_some(split, images, seed) for split in (train, held_out)]
    of_train, of_held_out = (represented(method, pixels) for pixels, _ in parts)
    (_, labels), (_, truth) = parts
    found = {}
    for name, f in of_train.items():
        found[f"knn_{name}"] = knn_accuracy(f, labels, of_held_out[name], truth)
        found[f"linear_{name}"] = linear_accuracy(f, labels, of_held_out[name], truth)
    return found


def pulls(method: Method, train: Images, seed: int, iteration: int) -> dict[str, Any]:
    """`method.pulls` on a batch and random numbers that training does not see."""
    generator = stream(train.pixels.device, seed, "pulls", iteration)
    n = method.images_per_step
    chosen = torch.randperm(len(train), generator=stream("cpu", seed, "pulls", iteration))[:n]
    return method.pulls(to_float(train.batch(chosen), generator), generator)


def _some(images: Images, n: int, seed: int) -> tuple[Tensor, Tensor]:
    assert images.labels is not None  # `probe_accuracies` has looked
    chosen = torch.randperm(len(images), generator=stream("cpu", seed, "representations", images.split))[:n]
    return images.batch(chosen), images.labels.cpu()[chosen]
