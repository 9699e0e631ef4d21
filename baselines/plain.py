"""The plain EBM: CLEL's own baseline (paper Table 1b, first row): the same network and sampler, beta 0, no encoder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import torch.nn.functional as F
from torch import Tensor

from clel.chains.langevin import BufferConfig
from clel.config import ADDED
from clel.data.augment import STRONG
from clel.methods.ebm import EBMConfig
from clel.methods.norm_ebm import NormEBM
from clel.methods.profiles.evening import NETWORK, evening_ebm, evening_evaluate, evening_train, persistent
from clel.methods.profiles.full import full_evaluate
from clel.methods.profiles.quick import quick_ebm, quick_evaluate, quick_train
from clel.methods.settings import Recipe, TrainConfig
from clel.networks.energy_network import NETWORKS, NetworkConfig, Normalisation


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


class PlainEBM(NormEBM):
    """E(x) = 1/2 |f(x)|^2, trained by contrastive divergence alone."""

    title = "Plain EBM"
    Config = PlainConfig
    config: PlainConfig

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

    def representations(self, x: Tensor) -> dict[str, Tensor]:
        """f(x) / |f(x)| [N, d], the direction of which nothing is asked here."""
        return {"f": F.normalize(self.network(x), dim=1)}
