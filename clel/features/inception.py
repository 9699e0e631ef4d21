"""Feature spaces of the Inception network through clean-fid: 2048 pooled activations, 1008 class probabilities.

Resizing and extractors are clean-fid's (Parmar et al., On Aliased Resizing and Surprising Subtleties in GAN Evaluation,
2022); its distances are not used. Its `build_feature_extractor` cannot be given a file: for the TorchScript weights it
takes a shared temporary folder, and for the others it calls torch.hub, which reads the folder from an environment
variable of the whole process, and neither checks a hash. So the two extractors are built here. `InceptionV3W` takes a
folder, and needs nothing more. `InceptionV3` takes none: it fetches its weights by a function of its module, in whose
place another one stands while it is built, which hands it what was read from the checked file.
"""

from __future__ import annotations

import hashlib
import threading
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from clel.config import choose, require
from clel.features.pretrained_space import PretrainedSpace
from clel.features.resize import resizer
from clel.networks.weights import STATE_DICT, TORCHSCRIPT, Weights, locate
from clel.random import seeded

DIMENSION, CLASSES = 2048, 1008
_BUILDING = threading.Lock()

Extractor = Callable[[Tensor], Tensor]
"""Resized images [N, 3, H, W], float32, 0 to 255 -> features [N, 2048]."""


@dataclass(frozen=True)
class Mode:
    """A feature space: clean-fid's name of it, the weights it stands on, and its resize to 299 x 299 in words."""

    cleanfid: str
    weights: Weights
    resizing: str


MODES = {
    "inception-clean": Mode("clean", TORCHSCRIPT, "bicubic, antialiased (clean-fid clean)"),
    "inception-pytorch": Mode("legacy_pytorch", STATE_DICT, "bilinear (clean-fid legacy_pytorch)"),
    "inception-tensorflow": Mode("legacy_tensorflow", TORCHSCRIPT, "TensorFlow 1 (clean-fid legacy_tensorflow)"),
}


def inception_space(
    mode: str, device: torch.device | str = "cpu", cache: Path | None = None, weights: Weights | None = None
) -> PretrainedSpace:
    """The feature space `mode` of MODES, on `device`, from the weights in the cache (CLEL_CACHE where it is None).

    Probabilities are softmax(W f), W [1008, 2048] of the last layer: its bias is left out, as the Inception Score has
    it (Salimans et al. 2016, their code).

    `weights` replaces the published file, such as by one of random numbers in the same format.

    Raises:
        ConfigError: an unknown mode.
        WeightsError: the weights are missing, unreadable or not those.
    """
    chosen = choose(MODES, mode, "Inception feature space")
    weights = weights or chosen.weights
    path = locate(weights, cache)
    if chosen.weights is STATE_DICT:
        extract, output = _from_state_dict(path, torch.device(device))
    else:
        extract, output = _from_torchscript(path, torch.device(device), chosen.cleanfid == "legacy_tensorflow")
    identity = hashlib.sha256(repr((mode, weights.sha256)).encode()).hexdigest()
    return PretrainedSpace(
        name=mode,
        identity=identity,
        dimension=DIMENSION,
        classes=CLASSES,
        resizing=chosen.resizing,
        device=output.device,
        resize=resizer(chosen.cleanfid),
        extract=extract,
        logits=lambda f: f @ output.T,
        images=16,  # keeps the process within 1.5 GB
    )


def _from_torchscript(path: Path, device: torch.device, resize_inside: bool) -> tuple[Extractor, Tensor]:
    """clean-fid's `InceptionV3W`; the file's own forward offers features or probabilities, so W is taken from it."""
    from cleanfid.inception_torchscript import InceptionV3W

    # it opens the file of this name in the folder, which must be the one that was checked
    require(path.name == TORCHSCRIPT.file, f"{path}: clean-fid reads TorchScript weights as {TORCHSCRIPT.file} only")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "`torch.jit.load` is deprecated", FutureWarning)
        network = InceptionV3W(path.parent, download=False, resize_inside=resize_inside)
    network = network.to(device).eval().requires_grad_(False)
    return network, network.base.output.weight


def _from_state_dict(path: Path, device: torch.device) -> tuple[Extractor, Tensor]:
    """clean-fid's `InceptionV3`, which takes [0, 1] and gives [N, 2048, 1, 1]."""
    state = torch.load(path, map_location="cpu", weights_only=True)
    network = _built_with(state).to(device).eval()
    return lambda x: network(x / 255)[0].flatten(1), state["fc.weight"].to(device)


def _built_with(state: dict[str, Any]) -> nn.Module:
    from cleanfid import inception_pytorch

    # layers are initialised from torch's global generator before the weights replace them
    with _BUILDING, seeded(0, "inception"), warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=UserWarning, module="torchvision")  # of an argument now deprecated
        published = inception_pytorch.load_state_dict_from_url
        inception_pytorch.load_state_dict_from_url = lambda *_, **__: state
        try:
            return inception_pytorch.InceptionV3(output_blocks=[3], resize_input=False)
        finally:
            inception_pytorch.load_state_dict_from_url = published
