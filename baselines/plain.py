"""The plain EBM: CLEL's own baseline (paper Table 1b, first row): the same network and sampler, beta 0, no encoder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from clel.chains.gradient import NormGradient, norm_gradient
from clel.chains.langevin import BufferConfig
from clel.chains.protocol import Protocol, training_sampler
from clel.config import ADDED
from clel.data import ImageSpec
from clel.data.augment import STRONG
from clel.methods.ebm import EBMConfig, LangevinEBM
from clel.methods.evening import NETWORK, evening_ebm, evening_evaluate, evening_train, persistent
from clel.methods.full import full_evaluate
from clel.methods.quick import quick_ebm, quick_evaluate, quick_train
from clel.methods.settings import Recipe, TrainConfig
from clel.methods.spherical_energy import image_energy
from clel.networks.energy_network import NETWORKS, EnergyNetwork, NetworkConfig
from clel.networks.layers import Normalisation, normalised_by


@dataclass(frozen=True, kw_only=True)
class PlainConfig(EBMConfig):
    """Hyper-parameters of the plain EBM; the defaults are those of CLEL-Base on CIFAR-10."""

    network: NetworkConfig = field(default_factory=NetworkConfig)
    """f; the projection g is built, so that the parameter counts agree with the paper's, and never used."""
    buffer: BufferConfig = field(default_factory=lambda: BufferConfig(augmentation=STRONG))
    """Where the chains live between iterations."""
    normalisation: Normalisation = field(default="data", metadata=ADDED)
    """Mean and std that networks normalise by: the training split's, or CIFAR-10's. [authors' code, ImageNet 32x32:
    CIFAR-10's]"""


class PlainEBM(LangevinEBM):
    """E(x) = 1/2 |f(x)|^2, trained by contrastive divergence alone."""

    title = "Plain EBM"
    Config = PlainConfig
    config: PlainConfig

    def __init__(self, config: PlainConfig, spec: ImageSpec) -> None:
        spec = normalised_by(spec, config.normalisation)
        super().__init__(config, spec)
        self.network = EnergyNetwork(config.network, spec)

    @classmethod
    def recipes(cls) -> Mapping[str, Recipe]:
        quick = PlainConfig(network=NETWORKS["tiny"], **quick_ebm())
        quick = replace(quick, langevin=replace(quick.langevin, step_size=30.0))
        evening = PlainConfig(network=NETWORK, **evening_ebm())
        base = PlainConfig()
        small = replace(base, network=NETWORKS["small"])
        return {
            "quick": Recipe(quick, quick_train(), quick_evaluate(), "plain"),
            "evening": Recipe(evening, evening_train(), evening_evaluate(), "plain"),
            "evening-persistent": Recipe(replace(evening, **persistent()), evening_train(), evening_evaluate(), None),
            "small": Recipe(small, TrainConfig(iterations=50_000), full_evaluate(), "ablation-components-a"),
            "paper": Recipe(base, TrainConfig(), full_evaluate(), "plain"),
        }

    @classmethod
    def disturbed(cls, config: PlainConfig) -> Protocol:
        return training_sampler(config.buffer.augmentation.style)

    def network_energy(self, network: nn.Module, x: Tensor) -> Tensor:
        return image_energy(cast(EnergyNetwork, network), network(x))

    def representations(self, x: Tensor) -> dict[str, Tensor]:
        """f(x) / |f(x)| [N, d], the direction of which nothing is asked here."""
        return {"f": F.normalize(self.network(x), dim=1)}

    def hand_gradient(self, network: nn.Module, dtype: torch.dtype, in_pieces: bool) -> NormGradient | None:
        return norm_gradient(network, dtype, in_pieces, self.spec.size)
