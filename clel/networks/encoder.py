"""The contrastive encoder h of CLEL: a CIFAR ResNet, this suite's own for digits, or a frozen one, and an MLP."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from torch import Tensor, nn

from clel.bounds import require_ranges
from clel.config import ADDED, LOGISTICS, require
from clel.data.images import ImageSpec
from clel.networks.energy_network import Normalise, outside_autocast
from clel.networks.frozen_backbone import frozen_backbone
from clel.networks.recompute import RecomputedStage


@dataclass(frozen=True)
class EncoderConfig:
    """The contrastive encoder h: a CIFAR ResNet and an MLP with batch norm."""

    kind: Literal["resnet18", "tiny", "frozen"] = "resnet18"
    """resnet18: torchvision's, 3x3 stem, no max-pool [authors' code, 12.48 M]; tiny: this suite's own for digits;
    frozen: a pretrained backbone that stays as it is, under an MLP that is trained. [CLEL Table 5, MAE]"""
    width: int = 32
    """Channels of the tiny encoder's first stage (the second has twice as many); resnet18 has its own."""
    hidden: int = 2048
    """Hidden units of the MLP. [authors' code]"""
    features: int = 128
    """Dimension of the latent; must equal the energy network's. [CLEL Appendix B]"""
    backbone: str = field(default="lite0", metadata=ADDED)
    """Of kind frozen: lite0 (EfficientNet-Lite0 of its package), torchvision:NAME or timm:NAME."""
    weights: str = field(default="", metadata=LOGISTICS)
    """Of kind frozen: a file with the backbone's state dict; its published weights if empty."""
    content: str = field(default="", metadata=ADDED)
    """Of kind frozen: SHA-256 of that file, or its first digits."""
    side: int = field(default=96, metadata=ADDED)
    """Of kind frozen: side in pixels that images are resized to."""

    def __post_init__(self) -> None:
        require(
            self.kind in ("resnet18", "tiny", "frozen"), f"kind is {self.kind!r}; expected resnet18, tiny or frozen"
        )
        own = (self.backbone, self.weights, self.content, self.side)
        require(
            self.kind == "frozen" or own == ("lite0", "", "", 96),
            f"backbone, weights, content and side are of kind frozen; kind is {self.kind!r}",
        )
        require(
            bool(self.weights) == bool(self.content),
            f"weights is {self.weights!r} and content {self.content!r}: a file and its SHA-256 (sha256sum), or neither",
        )
        require_ranges(self)


class Encoder(nn.Module):
    """h: images [N, C, H, W] in [0, 1] -> latents [N, d], not normalised; `backbone` has the features below the MLP."""

    def __init__(self, config: EncoderConfig, spec: ImageSpec) -> None:
        super().__init__()
        build: dict[str, Callable[[], tuple[nn.Module, int]]] = {
            "resnet18": lambda: _resnet18(spec.channels),
            "tiny": lambda: _tiny_encoder(spec.channels, config.width),
            "frozen": lambda: frozen_backbone(config.backbone, config.side, config.weights, config.content),
        }
        # a pretrained network has statistics of its own
        self.normalise = nn.Identity() if config.kind == "frozen" else Normalise(spec)
        self.backbone, width = build[config.kind]()
        self.head = nn.Sequential(
            nn.Linear(width, config.hidden, bias=False),  # the batch norm has one
            nn.BatchNorm1d(config.hidden),
            nn.ReLU(),
            nn.Linear(config.hidden, config.features),
        )

    def forward(self, x: Tensor) -> Tensor:
        return outside_autocast(self.head, self.backbone(self.normalise(x)))


def _resnet18(channels: int) -> tuple[nn.Module, int]:
    from torchvision.models import resnet18

    net = resnet18(zero_init_residual=True)
    net.conv1 = nn.Conv2d(channels, 64, 3, padding=1, bias=False)
    net.maxpool, net.fc = nn.Identity(), nn.Identity()  # type: ignore[assignment]
    net.layer1 = RecomputedStage(*net.layer1)  # at full resolution: half of all activations, a quarter of the work
    return net, 512


def _tiny_encoder(channels: int, width: int) -> tuple[nn.Module, int]:
    def stage(inputs: int, outputs: int) -> list[nn.Module]:
        return [nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()]

    layers = stage(channels, width) + stage(width, width) + [nn.MaxPool2d(2)]
    layers += stage(width, 2 * width) + stage(2 * width, 2 * width) + [nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    return nn.Sequential(*layers), 2 * width
