"""IGEBM: implicit generation and generalisation with energy-based models (Du & Mordatch, NeurIPS 2019, 1903.08689).

    L = mean(E(x+) - E(x-)) + alpha mean(E(x+)^2 + E(x-)^2)
with chains that add noise before the gradient is taken, clamp the gradient, and start anew 5 times in 100.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from baselines.clipped_adam import SPARE
from baselines.spectral_cap import capped, normalised
from clel.chains.energy import Energy
from clel.chains.langevin import BufferConfig, LangevinConfig
from clel.config import ADDED, LENGTH, require
from clel.data import ImageSpec
from clel.methods.clipping import clip_before_steps
from clel.methods.ebm import EBMConfig, LangevinEBM
from clel.methods.method import Optimisation
from clel.methods.profiles.evening import COOLDOWN, evening_evaluate, evening_train
from clel.methods.profiles.full import full_evaluate
from clel.methods.profiles.quick import quick_evaluate, quick_train
from clel.methods.settings import Recipe, TrainConfig

NEAR_ZERO = 1e-10
"""Standard deviation of the second raw kernel of a block at the start: blocks begin as their bypass. [authors' code]"""


@dataclass(frozen=True, kw_only=True)
class IGEBMConfig(EBMConfig):
    """Hyper-parameters of IGEBM; the defaults are the release's unconditional CIFAR-10 model (ResNet32Large),
    but for `clip`."""

    widths: tuple[int, ...] = (128, 256, 512)
    """Channels of each stage; the first block of a stage halves the image. [authors' code]"""
    blocks: int = 3
    """Residual blocks a stage. [authors' code]"""
    slope: float = 0.2
    """Negative slope of the leaky ReLU. [authors' code]"""
    init_std: float = 1.0
    """Standard deviation of raw kernels at the start; spectral norm divides it out, but Adam's first step turns
    a kernel by lr / init_std. [authors' code: 1]"""
    dropout: float = 0.5
    """Dropout inside the blocks while the weights are updated. [authors' code] None while chains run. [this suite]"""
    batch_size: int = 128
    """Images, and chains, in one iteration. [authors' code: 128 a worker]"""
    langevin: LangevinConfig = field(
        default_factory=lambda: LangevinConfig(60, step_size=10.0, noise=0.005, gradient_clip=0.01, noise_first=True)
    )
    """The chains. [authors' code]"""
    buffer: BufferConfig = field(default_factory=lambda: BufferConfig(restart=0.05))
    """Where the chains live between iterations. [authors' code: 10,000, 5 % restarts]"""
    lr: float = 3e-4
    """Adam's learning rate. [authors' code: 3e-4]"""
    warmup: int = field(default=0, metadata=LENGTH)
    """Iterations of linear warm-up of the learning rate. [authors' code: none]"""
    clip: bool = field(default=False, metadata=ADDED)
    """Clamp each element of the gradient to +-(3 sqrt(v) + 0.1), v Adam's mean square so far. [authors' code: yes]"""

    def __post_init__(self) -> None:
        super().__post_init__()
        require(not (self.clip and self.clip_sigmas), "clip and clip_sigmas clamp the same gradient; set one")


class BiasedBlock(nn.Module):
    """act(pool(s conv2(dropout(act(conv1(x + a))) + b) + bypass(x))): s a learned scale and a, b learned biases, a
    channel each; pooled by 2 if `down`. conv2's kernel begins near zero and may grow up to sigma = 1."""

    def __init__(self, config: IGEBMConfig, inputs: int, outputs: int, down: bool) -> None:
        super().__init__()
        self.slope, self.dropout, self.down = config.slope, config.dropout, down
        self.bias1 = nn.Parameter(torch.zeros(inputs, 1, 1))
        self.conv1 = normalised(inputs, outputs, config.init_std)
        self.bias2 = nn.Parameter(torch.zeros(outputs, 1, 1))
        self.conv2 = capped(outputs, outputs, NEAR_ZERO)
        self.scale = nn.Parameter(torch.ones(outputs, 1, 1))
        self.bypass = normalised(inputs, outputs, config.init_std) if inputs != outputs else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        y = F.dropout(F.leaky_relu(self.conv1(x + self.bias1), self.slope), self.dropout, self.training)
        y = self.scale * self.conv2(y + self.bias2) + self.bypass(x)
        return F.leaky_relu(F.avg_pool2d(y, 2) if self.down else y, self.slope)


class IGEBMNetwork(nn.Module):
    """E: images [N, C, H, W] in [0, 1], not normalised -> energies [N]: stem, stages, ReLU, sum over space, linear."""

    def __init__(self, config: IGEBMConfig, spec: ImageSpec) -> None:
        super().__init__()
        require(
            spec.size >> len(config.widths) >= 1,
            f"images of {spec.size} pixels cannot be halved {len(config.widths)} times; use fewer stages (widths)",
        )
        inputs = config.widths[0]
        layers: list[nn.Module] = [normalised(spec.channels, inputs, config.init_std), nn.LeakyReLU(config.slope)]
        for width in config.widths:
            for number in range(config.blocks):
                layers.append(BiasedBlock(config, inputs, width, number == 0))
                inputs = width
        self.body = nn.Sequential(*layers)
        self.last = nn.Linear(inputs, 1)
        nn.init.xavier_uniform_(self.last.weight)
        nn.init.zeros_(self.last.bias)

    def forward(self, x: Tensor) -> Tensor:
        maps = F.relu(self.body(x))
        kind = torch.promote_types(maps.dtype, torch.float32)  # maps may be in bfloat16, energies never
        with torch.autocast(x.device.type, enabled=False):
            return F.linear(maps.sum((2, 3), dtype=kind), self.last.weight.to(kind), self.last.bias.to(kind)).flatten()


class IGEBM(LangevinEBM):
    """A scalar residual energy with short, clipped, persistent Langevin chains."""

    title = "IGEBM"
    Config = IGEBMConfig
    config: IGEBMConfig

    def __init__(self, config: IGEBMConfig, spec: ImageSpec) -> None:
        super().__init__(config, spec)
        self.network = IGEBMNetwork(config, spec)

    @classmethod
    def recipes(cls) -> Mapping[str, Recipe]:
        paper = IGEBMConfig(clip=True)
        quick = replace(
            paper,
            clip=False,
            widths=(32, 64),
            blocks=1,
            dropout=0.0,
            batch_size=64,
            langevin=replace(paper.langevin, steps=30, step_size=30.0),
            buffer=replace(paper.buffer, size=1000, restart=1.0),
            lr=3e-3,
            cooldown=0.25,
        )
        evening = replace(
            quick,
            widths=(64, 64, 128),
            langevin=replace(paper.langevin, steps=40),
            buffer=BufferConfig(2000, 1.0),
            lr=1e-3,
            cooldown=COOLDOWN,
        )
        kept = replace(evening, buffer=replace(paper.buffer, size=2000))
        small = replace(paper, widths=(64, 128, 256), batch_size=64)
        # what the release does between rounds is no protocol of rounds of all chains: docs/reference/deviations.md
        clean = ("clean",)
        return {
            "quick": Recipe(quick, quick_train(), quick_evaluate(), "igebm"),
            "evening": Recipe(evening, evening_train(), evening_evaluate(), "igebm"),
            "evening-persistent": Recipe(kept, evening_train(), evening_evaluate(), None),
            "small": Recipe(small, TrainConfig(iterations=50_000), full_evaluate(protocols=clean), None),
            "paper": Recipe(paper, TrainConfig(iterations=121_200), full_evaluate(2000, protocols=clean), "igebm"),
        }

    def network_optimisation(self, iterations: int) -> Optimisation:
        optimiser, schedule = super().network_optimisation(iterations)
        if self.config.clip:
            clip_before_steps(optimiser, spare=SPARE, ahead=1)
        return optimiser, schedule

    def energy_of(self, network: nn.Module) -> Energy:
        return Energy(network)
