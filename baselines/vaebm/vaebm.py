"""VAEBM: a VAE refined by an energy (Xiao, Kreis, Kautz & Vahdat, ICLR 2021, 2010.00654).

    p(x, z) = p_VAE(x, z) exp(-E(x)) / Z
Stage one trains the VAE; stage two keeps it and trains E on
    L = mean(E(x+) - E(x-)) + lambda R,   x- = x(eps) after Langevin steps in the VAE's noise eps = (eps_z, eps_x)
with R the sum of the convolutions' largest singular values.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, replace
from typing import Any, Literal

import torch
from torch import Tensor

from baselines.clipped_adam import clipped_adam
from baselines.spectral_penalty import spectral_sum
from baselines.vae.config import VAEConfig
from baselines.vae.decoder import image_mean, image_sample
from baselines.vae.vae import VAE
from baselines.vaebm.config import VAEBMConfig
from baselines.vaebm.load import DIGITS, content_hash, cost_of, load_vae
from baselines.vaebm.network import VAEBMEnergy, initialise_from
from baselines.vaebm.noise_langevin import noise_langevin, split_noise
from baselines.vaebm.presets import vaebm_recipes
from clel.chains.energy import Energy
from clel.data import ImageSpec
from clel.data.augment import mirror
from clel.methods.ebm import require_images
from clel.methods.method import Method, Optimisation
from clel.methods.settings import Recipe
from clel.methods.stages import Stage, StageCost
from clel.networks.frozen import FrozenView


class VAEBM(Method):
    """A frozen hierarchical VAE, an energy on its images, and chains in its noise."""

    title = "VAEBM"
    Config = VAEBMConfig
    start = "the VAE's noise"
    config: VAEBMConfig
    stored: Tensor
    step: Tensor

    def __init__(self, config: VAEBMConfig, spec: ImageSpec) -> None:
        super().__init__(config, spec)
        settings = {f.name: getattr(config.vae, f.name) for f in fields(config.vae)}
        self.vae = VAE(VAEConfig(**settings, batch_size=config.vae_batch_size), spec)
        self.network = VAEBMEnergy(config.energy, spec)
        self.stage = 0
        self.register_buffer("step", torch.zeros((), dtype=torch.int64))
        self.latents = sum(torch.Size(shape).numel() for shape in self.vae.network.latent_shapes)
        if config.buffer.persistent:
            self.register_buffer("stored", torch.randn(config.buffer.size, self.latents))
        self._views: tuple[FrozenView, FrozenView] | None = None
        self._inherited: dict[int, StageCost] = {}

    @classmethod
    def recipes(cls) -> Mapping[str, Recipe]:
        return vaebm_recipes()

    @classmethod
    def settled(cls, config: VAEBMConfig) -> VAEBMConfig:
        """With all digits of the VAE's content: a run has one name, however many of them were given."""
        if not config.loads or len(config.vae_content) == DIGITS:
            return config
        state = load_vae(config.vae_run, config.vae_content, config.vae.network)
        return replace(config, vae_content=content_hash(state))

    @classmethod
    def require_inputs(cls, config: VAEBMConfig) -> None:
        """The VAE that is to be loaded."""
        if config.loads:
            load_vae(config.vae_run, config.vae_content, config.vae.network)

    @property
    def images_per_step(self) -> int:
        """As many as the larger stage takes; each stage uses the first of them."""
        return max(self.config.vae_batch_size, self.config.batch_size)

    @property
    def gradient_evaluations_per_step(self) -> int:
        return self.config.langevin.steps

    def stages(self, iterations: int) -> tuple[Stage, ...]:
        # the energy has at least one, however few there are
        first = min(round(self.config.vae_share * iterations), iterations - 1)
        steps = self.gradient_evaluations_per_step
        return Stage("vae", first, images=self.config.vae_batch_size), Stage("energy", iterations - first, steps)

    def enter_stage(
        self, number: int, average: Mapping[str, Tensor], images: Tensor, generator: torch.Generator
    ) -> None:
        """Keep the VAE with its averaged weights, or load one, and initialise E from the images."""
        c = self.config
        if c.loads:
            self.vae.load_state_dict(load_vae(c.vae_run, c.vae_content, c.vae.network))
            cost = cost_of(c.vae_run)
            self._inherited = {0: cost} if cost else {}
        else:
            with torch.no_grad():
                for name, parameter in self.vae.named_parameters(prefix="vae"):
                    parameter.copy_(average[name])
        initialise_from(self.network, self.mirrored(images, generator))
        self.stage = number

    def inherited(self) -> Mapping[int, StageCost]:
        """The training of the VAE that was loaded, if one was."""
        return self._inherited

    # a plain number, which no step has to wait for; saved with the buffers
    def get_extra_state(self) -> Tensor:
        return torch.tensor(self.stage)

    def set_extra_state(self, state: Any) -> None:
        self.stage = int(state)

    def reset_chains(self, generator: torch.Generator) -> None:
        if self.config.buffer.persistent:
            self.stored.normal_(generator=generator)

    def optimisers(self, iterations: int) -> list[Optimisation]:
        c = self.config
        first, _ = self.stages(iterations)
        energy = clipped_adam(self.network.parameters(), c.lr, c.betas, c.weight_decay, c.clip)
        return [*self.vae.optimisers(first.iterations), energy]

    def training_step(self, images: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
        c = self.config
        require_images(images, self.images_per_step)
        if self.stage == 0:
            return self.vae.training_step(images[: c.vae_batch_size], generator)
        positives, negatives = self.mirrored(images[: c.batch_size], generator), self.negatives(generator)
        positive, negative = self.network(torch.cat([positives, negatives])).split(c.batch_size)
        spectral = spectral_sum(self.network)
        self.step += 1
        return {
            "loss": positive.mean() - negative.mean() + c.spectral * spectral,
            "energy_positive": positive.detach().mean(),
            "energy_negative": negative.detach().mean(),
            "spectral": spectral.detach(),
        }

    def mirrored(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Images [N, C, H, W], half of them mirrored where asked."""
        return mirror(images, generator) if self.config.flip else images

    def negatives(self, generator: torch.Generator) -> Tensor:
        """x- [batch_size, C, H, W]: the images of chains after their Langevin steps."""
        c, n = self.config, self.config.batch_size
        eps = self.new_noise(n, generator)
        if c.buffer.persistent:
            probability = c.buffer.probability * (self.step / max(1, c.buffer.anneal)).clamp(max=1)
            places = torch.randint(len(self.stored), (n,), generator=generator, device=eps.device)
            goes_on = torch.rand(n, 1, generator=generator, device=eps.device) < probability
            eps[:, : self.latents] = torch.where(goes_on, self.stored[places], eps[:, : self.latents])
        eps = noise_langevin(self.chain_energy(), eps, c.langevin, generator)
        if c.buffer.persistent:
            oldest = (self.step * n + torch.arange(n, device=eps.device)) % len(self.stored)
            self.stored[oldest] = eps[:, : self.latents]
        return self.images(eps, c.negatives).detach()

    def new_noise(self, n: int, generator: torch.Generator) -> Tensor:
        """eps = (eps_z, eps_x) ~ N(0, I): [n, D], the latents of all groups and then the pixels, flattened."""
        size = self.latents + torch.Size(self.spec.shape).numel()
        return torch.randn(n, size, generator=generator, device=self.step.device)

    def images(self, eps: Tensor, kind: Literal["sample", "mean"]) -> Tensor:
        """x(eps) [N, C, H, W] in [0, 1] of noise [N, D], or its first part: the decoder's sample, or its mean."""
        decoder = self.config.vae.network.decoder
        raw = self.frozen()[0].generate(split_noise(eps, self.vae.network.latent_shapes))
        if kind == "mean":
            return image_mean(raw, decoder)
        return image_sample(raw, eps[:, self.latents :].view(-1, *self.spec.shape), decoder)

    def frozen(self) -> tuple[Any, Any]:
        """The VAE's network and E, without gradients to their weights: views that `chain_energy` refreshes."""
        if self._views is None or self._views[0].device != self.step.device:
            dtype = self.network.last.weight.dtype
            self._views = FrozenView(self.vae.network, dtype), FrozenView(self.network, dtype)
        return self._views[0].network, self._views[1].network

    def chain_energy(self) -> Energy:
        """eps [N, D] -> E(x(eps)) [N] under the present weights."""
        self.frozen()
        assert self._views is not None
        for view in self._views:
            view.refresh()
        return Energy(lambda eps: self.frozen()[1](self.images(eps, "sample")))

    def sample(self, n: int, generator: torch.Generator, steps: int | None = None) -> Tensor:
        """The decoder's mean after `steps` Langevin steps from N(0, I); the VAE's samples in stage one."""
        if self.stage == 0:
            return self.vae.sample(n, generator)
        eps = noise_langevin(self.chain_energy(), self.new_noise(n, generator), self.config.langevin, generator, steps)
        with torch.no_grad():
            return self.images(eps, "mean")

    @torch.no_grad()
    def follow(self, n: int, generator: torch.Generator, totals: Sequence[int]) -> Iterator[Tensor]:
        """As `sample`, of chains that go on in the noise; in stage one there are no steps to take."""
        if self.stage == 0:
            yield from [self.vae.sample(n, generator)] * len(totals)
            return
        energy, eps, done = self.chain_energy(), self.new_noise(n, generator), 0
        for total in totals:
            eps, done = noise_langevin(energy, eps, self.config.langevin, generator, total - done), total
            yield self.images(eps, "mean")

    def energy(self, images: Tensor) -> Tensor:
        """E(x) - ELBO(x) [N] in nats, an upper bound (in expectation) on E(x) - log p_VAE(x); see VAE.energy."""
        energy = self.vae.energy(images)
        return energy if self.stage == 0 else self.network(images) + energy

    @torch.no_grad()
    def chains(self) -> Tensor | None:
        """The persistent chains' images, the decoder's means; None without a buffer."""
        if not self.config.buffer.persistent:
            return None
        self.chain_energy()
        return torch.cat([self.images(part, "mean") for part in self.stored.split(500)])
