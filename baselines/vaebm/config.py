"""Hyper-parameters of VAEBM."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from baselines.vae.config import VAESettings
from baselines.vaebm.network import EnergyConfig
from baselines.vaebm.noise_langevin import NoiseBufferConfig, NoiseLangevinConfig
from clel.bounds import require_ranges
from clel.config import ADDED, LOGISTICS, require


@dataclass(frozen=True, kw_only=True)
class VAEBMConfig:
    """Hyper-parameters of VAEBM; the defaults are those of the authors' command for CIFAR-10, but for flips."""

    batch_size: int = 32
    """Images, and chains, in one iteration of stage two. [authors' command: 32]"""
    vae: VAESettings = field(default_factory=VAESettings)
    """The VAE; its decoder must be Gaussian."""
    vae_batch_size: int = 256
    """Images in one iteration of stage one. [VAEBM: 32 on each of 8 GPUs]"""
    vae_share: float = 78_000 / 108_000
    """Share of the iterations that train the VAE. [VAEBM: 400 epochs, about 78,000; then 30,000 for the energy]"""
    vae_content: str = ""
    """Leave stage one out and take the VAE whose weights have this SHA-256, or its first digits; empty for none."""
    vae_run: str = field(default="", metadata=LOGISTICS)
    """Folder of the finished run that holds them; read once, when training starts."""
    energy: EnergyConfig = field(default_factory=EnergyConfig)
    """E."""
    langevin: NoiseLangevinConfig = field(default_factory=NoiseLangevinConfig)
    """The chains."""
    buffer: NoiseBufferConfig = field(default_factory=NoiseBufferConfig)
    """Persistent chains, where there are any."""
    negatives: Literal["sample", "mean"] = "sample"
    """x-: with the decoder's noise, as in the chain, or its mean. [authors' commands: sample on CIFAR-10, else mean]"""
    spectral: float = 0.2
    """lambda of E's spectral regularisation. [authors' command: 0.2]"""
    lr: float = 4e-5
    """Adam's learning rate for E. [authors' command: 4e-5]"""
    betas: tuple[float, float] = (0.99, 0.999)
    """Adam's betas. [authors' code]"""
    weight_decay: float = 3e-5
    """Adam's weight decay. [authors' command: 3e-5]"""
    clip: bool = True
    """Clamp each element of E's gradient to +-(3 sqrt(v) + 0.1), v Adam's mean square. [authors' code: yes]"""
    flip: bool = field(default=False, metadata=ADDED)
    """Mirror half of stage two's real images left to right; stage one has vae.flip. [authors' code: yes]"""

    def __post_init__(self) -> None:
        object.__setattr__(self, "vae_content", self.vae_content.strip().lower())
        require_ranges(self)
        require(self.vae_batch_size >= 2, f"vae_batch_size is {self.vae_batch_size}; batch norm takes at least 2")
        decoder = self.vae.network.decoder.kind
        require(decoder == "gaussian", f"vae.network.decoder.kind is {decoder!r}; VAEBM's noise needs gaussian")
        temperature = self.vae.temperature
        require(temperature == 1, f"vae.temperature is {temperature}; the chains' density is that of temperature 1")
        require(0 <= self.vae_share < 1, f"vae_share is {self.vae_share}; expected a share below 1")
        named = bool(self.vae_content or self.vae_run)
        require(
            named == self.loads,
            f"vae_share is {self.vae_share} and vae_run {self.vae_run!r}: the share is 0 exactly where vae_run and "
            "vae_content name a VAE that is loaded",
        )

    @property
    def loads(self) -> bool:
        """Whether a trained VAE takes the place of stage one."""
        return self.vae_share == 0
