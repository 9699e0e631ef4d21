"""A hierarchical VAE after NVAE (Vahdat & Kautz, NeurIPS 2020, 2007.03898), on its own and as VAEBM's first half.

    L = mean( -log p(x | z) + beta sum_l gamma_l KL(q(z_l | z_<l, x) || p(z_l | z_<l)) ) + lambda (R + B)
with z ~ q(z | x), R the sum of the convolutions' largest singular values and B that of the batch norms' largest scales.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.optim import Adamax
from torch.optim.lr_scheduler import LambdaLR

from baselines.spectral_penalty import scale_sum, spectral_sum
from baselines.vae.cells import multiply_in
from baselines.vae.config import VAEConfig
from baselines.vae.decoder import image_mean, log_likelihood
from baselines.vae.network import HierarchicalVAE
from baselines.vae.objective import balanced_kl, cosine_factor, kl_coefficient
from baselines.vae.presets import vae_recipes
from clel.data import ImageSpec
from clel.data.augment import mirror
from clel.data.images import refuse_pixels
from clel.methods.ebm import require_images
from clel.methods.method import Method, Optimisation
from clel.methods.settings import Recipe
from clel.networks.recompute import recompute
from clel.random import stream


class VAE(Method):
    """Residual posteriors over groups of latents; sampled from its priors, shown as the decoder's mean."""

    title = "VAE"
    Config = VAEConfig
    start = "latents of the priors"
    config: VAEConfig
    step: Tensor

    def __init__(self, config: VAEConfig, spec: ImageSpec) -> None:
        super().__init__(config, spec)
        self.network = HierarchicalVAE(config.network, spec)
        multiply_in(self.network, getattr(torch, config.precision))
        recompute(self.network, config.recompute)
        self.register_buffer("step", torch.zeros((), dtype=torch.int64))

    @classmethod
    def recipes(cls) -> Mapping[str, Recipe]:
        return vae_recipes()

    def optimisers(self, iterations: int) -> list[Optimisation]:
        c = self.config
        # eps large enough to damp the first steps of weights with small gradients [NVAE: 1e-3]
        optimiser = Adamax(list(self.network.parameters()), lr=c.lr, weight_decay=c.weight_decay, eps=1e-3)
        return [(optimiser, LambdaLR(optimiser, cosine_factor(iterations, c.warmup, c.lr_end / c.lr)))]

    def training_step(self, images: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
        c = self.config
        require_images(images, self.images_per_step)
        images = mirror(images, generator) if c.flip else images
        log_p, kls = self.terms(images, self.noise(len(images), generator))
        beta = kl_coefficient(self.step, c.kl_warmup, c.kl_least)
        kl = balanced_kl(kls, c.network.groups, beta, c.balance)
        spectral = spectral_sum(self.network)
        penalty = c.spectral * (spectral + scale_sum(self.network))
        self.step += 1
        total = torch.stack(kls).detach().sum(0).mean()
        return {
            "loss": (kl - log_p).mean() + penalty,
            "negative_elbo": total - log_p.detach().mean(),
            "kl": total,
            "kl_coefficient": beta,
            "spectral": spectral.detach(),
        }

    def terms(self, images: Tensor, noise: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """log p(x | z) [N] for the z ~ q(z | x) that the noise stands for, and KL_l [N] of each group, in nats."""
        raw, kls = self.network(images, noise)
        return log_likelihood(raw, images, self.config.network.decoder), kls

    def noise(self, n: int, generator: torch.Generator) -> list[Tensor]:
        """N(0, I) instead of the latents: [n, *shape] for each group."""
        device = self.step.device
        return [torch.randn(n, *s, generator=generator, device=device) for s in self.network.latent_shapes]

    def energy(self, images: Tensor) -> Tensor:
        """-ELBO [N] in nats, in expectation at least -log p(x): the mean over `draws` draws of the latents.

        The draws are fixed and every image gets the same ones, so that the energy is a function of the image alone.
        With a Gaussian decoder p is a density on [0, 1]^D, and the energy may be negative.
        """
        refuse_pixels(images)
        generator = stream(images.device, 0, "elbo")
        total = torch.zeros(len(images), device=images.device)
        for _ in range(self.config.draws):
            log_p, kls = self.terms(images, [e.expand(len(images), -1, -1, -1) for e in self.noise(1, generator)])
            total = total + torch.stack(kls).sum(0) - log_p
        return total / self.config.draws

    @torch.no_grad()
    def sample(self, n: int, generator: torch.Generator, steps: int | None = None) -> Tensor:
        """The decoder's mean for latents from the priors, group by group; there are no steps to take."""
        raw = self.network.generate(self.noise(n, generator), self.config.temperature)
        return image_mean(raw, self.config.network.decoder)
