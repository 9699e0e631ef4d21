"""A frozen pretrained network as the encoder's backbone; the MLP above it is what is trained (the paper's MAE row).

By name: lite0 (EfficientNet-Lite0, from its package), torchvision:NAME or timm:NAME, with their published weights or
those of a file.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from clel.config import ConfigError, choose, require
from clel.networks.lite0 import lite0_network
from clel.random import seeded

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
"""Mean and std a channel that torchvision's networks, and most others, were trained with."""
HEADS = ("fc", "classifier", "head", "heads")
"""What torchvision calls the layer from features to classes."""


class Frozen(nn.Module):
    """Images [N, C, H, W] in [0, 1] -> features [N, width] of a network that nothing trains.

    Resized to side x side (bicubic, antialiased, clipped), grey ones as three equal channels, then normalised. The
    network is no part of the state: no optimiser, average or checkpoint has it, and whoever builds the method again
    loads it again. It stays in evaluation mode.
    """

    def __init__(
        self, network: nn.Module, side: int, statistics: tuple[tuple[float, ...], tuple[float, ...]] = IMAGENET
    ) -> None:
        super().__init__()
        # past torch's registration, so that it is none of the module's own
        self.__dict__["network"] = network.eval().requires_grad_(False)
        self.side = side
        for name, values in zip(("mean", "std"), statistics, strict=True):
            self.register_buffer(name, torch.tensor(values).view(-1, 1, 1), persistent=False)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Frozen:
        """Let the network move and change its number format with the module."""
        super()._apply(fn, recurse)
        cast(nn.Module, self.network)._apply(fn)
        return self

    @torch.no_grad()
    def forward(self, x: Tensor) -> Tensor:
        x = F.interpolate(x, (self.side, self.side), mode="bicubic", antialias=True).clamp(0, 1)
        x = x if x.shape[1] == 3 else x.expand(-1, 3, -1, -1)
        return self.network((x - self.mean) / self.std)  # type: ignore[no-any-return, operator]


def frozen_backbone(name: str, side: int, weights: str = "", content: str = "") -> tuple[Frozen, int]:
    """(the frozen network, its width) of a name, for images of `side` pixels.

    Args:
        weights: a file with a state dict (torch.save) of that network; its published weights if "".
        content: SHA-256 of that file in hex, or its first digits.

    Raises:
        ConfigError: an unknown name, a package or a file that is not there, or weights of another network.
    """
    source, _, model = name.partition(":")
    build = choose({"lite0": _lite0, "torchvision": _torchvision, "timm": _timm}, source, "backbone")
    require(bool(model) == (source != "lite0"), f"backbone is {name!r}; expected lite0, torchvision:NAME or timm:NAME")
    with seeded(0, "backbone"):
        network, statistics = build(model, side, not weights)
    if weights:
        _load(network, Path(weights), content)
    frozen = Frozen(network, side, statistics)
    try:
        width = frozen(torch.zeros(1, 3, side, side)).shape[1:]
    except (RuntimeError, AssertionError, ValueError) as error:
        raise ConfigError(f"backbone {name} does not take images of side {side}: {error}") from None
    require(len(width) == 1, f"backbone {name} gives {list(width)} values an image; expected a vector")
    return frozen, int(width[0])


def content_of(path: Path) -> str:
    """SHA-256 of a file in hex; ConfigError where there is none."""
    require(path.is_file(), f"weights: there is no file {path}")
    return hashlib.sha256(path.read_bytes()).hexdigest()


Built = tuple[nn.Module, tuple[tuple[float, ...], tuple[float, ...]]]


def _lite0(model: str, side: int, published: bool) -> Built:
    require(published, "backbone lite0 has the weights of its package; leave weights out")
    require(side >= 32 and side % 32 == 0, f"side is {side}; lite0 takes a multiple of 32")
    return lite0_network(), ((127 / 255,) * 3, (128 / 255,) * 3)


def _torchvision(model: str, side: int, published: bool) -> Built:
    import torchvision

    choose(dict.fromkeys(torchvision.models.list_models(torchvision.models)), model, "torchvision model")
    network = _fetched(lambda: torchvision.models.get_model(model, weights="DEFAULT" if published else None), model)
    head = next((h for h in HEADS if isinstance(getattr(network, h, None), nn.Module)), None)
    if head is None:
        raise ConfigError(f"torchvision:{model} has no layer {', '.join(HEADS)} to take its features from")
    setattr(network, head, nn.Identity())
    return network, IMAGENET


def _timm(model: str, side: int, published: bool) -> Built:
    try:
        import timm
    except ImportError:
        raise ConfigError(f"backbone timm:{model} needs the package timm: pip install timm") from None
    require(timm.is_model(model.partition(".")[0]), f"timm has no model {model!r}; timm.list_models() names them")
    network: Any = _fetched(lambda: timm.create_model(model, pretrained=published, num_classes=0), model)
    own = network.pretrained_cfg
    return network, (tuple(own.get("mean", IMAGENET[0])), tuple(own.get("std", IMAGENET[1])))


def _fetched(make: Callable[[], nn.Module], model: str) -> nn.Module:
    try:
        return make()
    except Exception as error:  # noqa: BLE001 - packages and networks raise what they like
        reason = str(error).strip().partition("\n")[0]
        raise ConfigError(f"the weights of {model} cannot be had ({reason}); give a file of them as weights") from None


@torch.no_grad()
def _load(network: nn.Module, path: Path, content: str) -> None:
    found = content_of(path)
    require(found.startswith(content), f"{path}: its SHA-256 is {found[:16]}...; the settings say {content[:16]}...")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # noqa: BLE001 - a damaged file raises anything
        raise ConfigError(f"{path}: not a file of weights ({str(error).strip().partition(chr(10))[0]})") from None
    for key in ("model", "state_dict"):
        state = state[key] if isinstance(state, dict) and isinstance(state.get(key), dict) else state
    own = network.state_dict()
    odd = [k for k, v in own.items() if k not in state or getattr(state[k], "shape", None) != v.shape]
    require(not odd, f"{path}: weights of another network; missing or of another shape: {', '.join(odd[:3])}")
    network.load_state_dict({key: state[key] for key in own})
