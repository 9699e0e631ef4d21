"""An EBM whose energy is 1/2 |f(x)|^2: the network, energy and sampler that CLEL and the plain EBM have in common."""

from __future__ import annotations

from typing import Any, cast

from torch import nn

from clel.chains.protocol import Protocol, training_sampler
from clel.data import ImageSpec
from clel.methods.ebm import LangevinEBM
from clel.methods.spherical_energy import ImageEnergy
from clel.networks.energy_network import EnergyNetwork, normalised_by


class NormEBM(LangevinEBM):
    """Base of EBMs on an EnergyNetwork; their configuration has `network` and `normalisation`."""

    network: EnergyNetwork

    def __init__(self, config: Any, spec: ImageSpec) -> None:
        spec = normalised_by(spec, config.normalisation)
        super().__init__(config, spec)
        self.network = EnergyNetwork(config.network, spec)

    @classmethod
    def disturbed(cls, config: Any) -> Protocol:
        return training_sampler(config.buffer.augmentation.style)

    def energy_of(self, network: nn.Module) -> ImageEnergy:
        return ImageEnergy(cast(EnergyNetwork, network), self.spec.size)
