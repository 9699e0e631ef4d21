"""DRL: learning energy-based models by diffusion recovery likelihood (Gao et al., ICLR 2021, 2012.08125), setting T6.

With y_t = a_{t+1} x_t, each level has the marginal and, given the noisier x_{t+1}, the conditional
    log p(y_t)           = F(y_t, t) / s_t^2 + const
    log p(y_t | x_{t+1}) = F(y_t, t) / s_t^2 - |y_t - x_{t+1}|^2 / (2 sigma_{t+1}^2) + const
which is far easier to sample than the marginal. At the noisiest level y_t = x_t and the quadratic term is left out.
baselines/drl/schedule.py has the constants, baselines/drl/network.py F.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from baselines.drl.config import DRLConfig, recipes
from baselines.drl.network import DRLNetwork
from baselines.drl.schedule import NoiseLevels, even_parts, per_image
from clel.chains.energy import Energy
from clel.data import ImageSpec
from clel.data.augment import mirror
from clel.data.images import refuse_pixels
from clel.methods.ebm import adam, require_images
from clel.methods.method import Method, Optimisation
from clel.methods.settings import Recipe
from clel.networks.frozen import FrozenView

Network = Callable[[Tensor, Tensor], Tensor]
"""Images y [N, C, H, W] and levels t [N] -> F [N]."""


class DRL(Method):
    """One network for all noise levels, learned and sampled level by level."""

    title = "DRL"
    Config = DRLConfig
    start = "normal noise"
    config: DRLConfig

    def __init__(self, config: DRLConfig, spec: ImageSpec) -> None:
        super().__init__(config, spec)
        self.levels = NoiseLevels(config.levels, config.langevin.step_variance)
        self.network = DRLNetwork(config.network, spec)
        self._view: FrozenView | None = None

    @classmethod
    def recipes(cls) -> Mapping[str, Recipe]:
        return recipes()

    @property
    def gradient_evaluations_per_step(self) -> int:
        return self.config.langevin.steps

    def optimisers(self, iterations: int) -> list[Optimisation]:
        c = self.config
        return [adam(self.network.parameters(), c.lr, c.betas, c.warmup, c.cooldown, iterations)]

    def training_step(self, images: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
        """mean of sigma_1 / sigma_{t+1} (F(y-, t) - F(y+, t)), t uniform, y+ from the data, y- from the chain.

        energy_positive and energy_negative are the means of -F(y, t), energies in units of s_t^2.
        """
        require_images(images, self.images_per_step)
        t = torch.randint(len(self.levels), (len(images),), generator=generator, device=images.device)
        clean, observed = self.diffuse(self.data(images, generator), t, generator)
        c = self.config.langevin
        chained = self.chain(self.frozen(), observed, t, c.steps, c.noise, generator)
        positives = per_image(self.levels.scale, t) * clean
        positive, negative = self.network(torch.cat([positives, chained]), torch.cat([t, t])).split(len(images))
        return {
            "loss": (self.levels.weight[t] * (negative - positive)).mean(),
            "energy_positive": -positive.detach().mean(),
            "energy_negative": -negative.detach().mean(),
        }

    def data(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Images in [0, 1], half of them mirrored where asked, as numbers in [-1, 1]."""
        return 2 * (mirror(images, generator) if self.config.flip else images) - 1

    def diffuse(self, x: Tensor, t: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """x_t and x_{t+1} of images x in [-1, 1], each with its own level t [N]."""
        v = self.levels
        clean = per_image(v.abar, t) * x + per_image(v.sbar, t) * _noise(x, generator)
        return clean, per_image(v.a, t) * clean + per_image(v.sigma, t) * _noise(x, generator)

    def conditional_energy(self, network: Network, observed: Tensor, t: Tensor) -> Energy:
        """y -> -log p(y_t = y | x_{t+1} = observed) [N], up to a constant, under the given network."""
        v = self.levels
        tightness = v.pull[t] / (2 * v.sigma[t].square())

        def energy(y: Tensor) -> Tensor:
            return tightness * (y - observed).square().sum((1, 2, 3)) - network(y, t) / v.step[t].square()

        return Energy(energy)

    @torch.no_grad()
    def chain(
        self, network: Network, observed: Tensor, t: Tensor, steps: int, noise: float, generator: torch.Generator
    ) -> Tensor:
        """y [N, C, H, W] after y <- y - 1/2 s^2 dE/dy + s noise n, `steps` times from y = x_{t+1} = observed.

        E is the conditional energy; nothing is clipped.
        """
        energy, s = self.conditional_energy(network, observed, t), per_image(self.levels.step, t)
        y = observed.clone()
        for _ in range(steps):
            y.add_(-0.5 * s.square() * energy.gradient(y)).add_(noise * s * _noise(y, generator))
        return y

    @torch.no_grad()
    def sample(self, n: int, generator: torch.Generator, steps: int | None = None) -> Tensor:
        """Images from x_T ~ N(0, I) down all levels; `steps` is the total, spread evenly over the levels."""
        c, levels = self.config.langevin, len(self.levels)
        parts = [c.steps] * levels if steps is None else even_parts(steps, levels)
        device = self.levels.a.device
        x, network = torch.randn(n, *self.spec.shape, generator=generator, device=device), self.frozen()
        for level in reversed(range(levels)):
            t = torch.full((n,), level, device=device)
            x = self.chain(network, x, t, parts[level], c.sample_noise, generator) / self.levels.scale[level]
        return ((x + 1) / 2).clamp(0, 1)

    def energy(self, images: Tensor) -> Tensor:
        """-F(a_1 (2 x - 1), 0) / s_0^2: the unnormalised negative log density of the least noisy level [N].

        The density is that of y_0 = a_1 x_0, where x_0 is the image in [-1, 1] with noise of standard deviation 0.01.
        """
        refuse_pixels(images)
        t = torch.zeros(len(images), dtype=torch.long, device=images.device)
        return -self.network(self.levels.a[0] * (2 * images - 1), t) / self.levels.step[0].square()

    def frozen(self) -> Network:
        """F of the present weights on the frozen view, for chains."""
        dtype, device = getattr(torch, self.config.engine), self.levels.a.device
        if self._view is None or self._view.device != device:
            self._view = FrozenView(self.network, dtype)
        network = self._view.refresh()
        return lambda y, t: network(y.to(dtype), t)


def _noise(x: Tensor, generator: torch.Generator) -> Tensor:
    return torch.empty_like(x).normal_(generator=generator)
