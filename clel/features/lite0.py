"""The feature space of EfficientNet-Lite0, whose weights come with a package, so that images in colour have a feature
space wherever this suite is installed. It is no Inception, and a distance in it is no FID."""

from __future__ import annotations

import hashlib
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from clel.config import require
from clel.features.pretrained_space import PretrainedSpace
from clel.networks.lite0 import CLASSES, DIMENSION, NAME, WEIGHTS, lite0_network
from clel.networks.weights import Weights

SIDE = 96
"""Side in pixels that images are resized to."""


def lite0_space(
    device: torch.device | str = "cpu", side: int = SIDE, path: Path | None = None, weights: Weights = WEIGHTS
) -> PretrainedSpace:
    """The feature space of the package's weights, or of the file `path` that `weights` describes, on `device`.

    Images are resized to side x side by bicubic interpolation with antialiasing, and clipped to 0 to 255.

    Raises:
        ConfigError: a side that is no multiple of 32.
        WeightsError: the package is not installed, or its file is not the published one.
    """
    require(side >= 32 and side % 32 == 0, f"side is {side}; {NAME} takes a multiple of 32")
    network = lite0_network(path, weights).to(device)
    resizing = f"to {side}x{side}, bicubic, antialiased, clipped"

    def resize(pixels: Tensor) -> Tensor:
        x = pixels.to(device).float()
        return F.interpolate(x, (side, side), mode="bicubic", antialias=True).clamp(0, 255)

    identity = hashlib.sha256(repr(("lite0", weights.sha256, side, resizing)).encode()).hexdigest()
    return PretrainedSpace(
        name=NAME,
        identity=identity,
        dimension=DIMENSION,
        classes=CLASSES,
        resizing=resizing,
        device=torch.device(device),
        resize=resize,
        extract=lambda x: network((x - 127) / 128),
        logits=network.last,
        images=64,
    )
