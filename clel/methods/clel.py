"""CLEL (arXiv 2303.03023, Algorithm 1): a spherical latent-variable EBM and a contrastive encoder guide each other.

With x+ data, x- Langevin chains on E, h the encoder, t, t' ~ T strong augmentations, sg the stop-gradient:
    L_ebm = mean(E(x+) - E(x-)) + alpha mean(E(x+)^2 + E(x-)^2) - beta mean(u(x+) . sg h(t(x+)) / |h|)
    L_enc = NT-Xent(h(t(x)), h(t'(x)); tau) with sg u(x-) as further negatives, or BYOL's objective
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import SGD
from torch.optim.lr_scheduler import CosineAnnealingLR

from clel.config import require
from clel.data import ImageSpec
from clel.data.augment import augment
from clel.methods.byol import Byol
from clel.methods.clel_config import CLELConfig, clel_recipes
from clel.methods.ebm import contrastive_divergence, gradient_norms, require_images
from clel.methods.method import Optimisation
from clel.methods.norm_ebm import NormEBM
from clel.methods.settings import Recipe
from clel.methods.spherical_energy import direction, image_energy
from clel.methods.von_mises_fisher import draw_latents
from clel.networks.encoder import Encoder
from clel.networks.frozen_backbone import content_of, frozen_backbone
from clel.networks.recompute import frozen_statistics, recompute

__all__ = ["CLEL", "CLELConfig", "nt_xent"]


class CLEL(NormEBM):
    """Contrastive latent-guided energy learning."""

    title = "CLEL"
    Config = CLELConfig
    config: CLELConfig

    def __init__(self, config: CLELConfig, spec: ImageSpec) -> None:
        super().__init__(config, spec)
        # beside the encoder's; for an EBM alone the passes computed twice cost more than the memory is worth
        self.widest = config.network.widths[0] * self.spec.size**2
        self.encoder = Encoder(config.encoder, self.spec)
        self._recomputed = False
        self.byol: Byol | None = None
        if config.objective == "byol":
            self.byol = Byol(self.encoder, config.encoder.features, config.encoder.hidden, config.byol_decay)

    @classmethod
    def recipes(cls) -> Mapping[str, Recipe]:
        return clel_recipes()

    @classmethod
    def settled(cls, config: CLELConfig) -> CLELConfig:
        """With all digits of the content of a frozen encoder's weights."""
        encoder = config.encoder
        if not encoder.weights:
            return config
        found = content_of(Path(encoder.weights))
        require(
            found.startswith(encoder.content),
            f"{encoder.weights}: its SHA-256 is {found}; encoder.content is {encoder.content}",
        )
        return replace(config, encoder=replace(encoder, content=found))

    @classmethod
    def require_inputs(cls, config: CLELConfig) -> None:
        """A frozen encoder's weights."""
        if config.encoder.kind == "frozen":
            e = config.encoder
            frozen_backbone(e.backbone, e.side, e.weights, e.content)

    @property
    def images_per_step(self) -> int:
        return self.config.contrastive_batch_size

    def optimisers(self, iterations: int) -> list[Optimisation]:
        c = self.config
        sgd = SGD(
            [p for module in self.encoders() for p in module.parameters() if p.requires_grad],
            lr=c.encoder_lr,
            momentum=c.encoder_momentum,
            weight_decay=c.encoder_weight_decay,
            fused=self.switches.fused_optimisers or None,
        )
        cosine = CosineAnnealingLR(sgd, iterations)
        return [self.network_optimisation(iterations), (sgd, cosine)]

    def encoders(self) -> list[nn.Module]:
        """What SGD trains: h, and BYOL's predictor where there is one. What is frozen in them has no parameters."""
        return [self.encoder] if self.byol is None else [self.encoder, self.byol.predictor]

    def training_step(self, images: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
        c = self.config
        require_images(images, self.images_per_step)
        positives, negatives = images[: c.batch_size], self.negatives(generator)

        with self.training_pass(self.network):
            f = self.trained_network()(self.laid_out(torch.cat([positives, negatives])))
        f_positive, f_negative = f.split(c.batch_size)
        positive, negative = (image_energy(self.network, part) for part in (f_positive, f_negative))
        losses = contrastive_divergence(positive, negative, c.alpha)

        z_negative = self.latent_negatives(f_negative.detach(), generator)
        z, h_first, h_second, views = self.latents(images, generator)
        agreement = (direction(self.network, f_positive) * z).sum(1).mean()
        if self.byol is None:
            contrastive = nt_xent(h_first, h_second, c.temperature, z_negative)
        else:
            contrastive = self.byol.loss(torch.cat([h_first, h_second]), self.targets(self.byol, views))

        losses |= {"agreement": agreement.detach(), "contrastive": contrastive.detach()}
        losses["loss"] = losses["divergence"] - c.beta * agreement + contrastive
        return losses

    @torch.no_grad()
    def latent_negatives(self, f: Tensor, generator: torch.Generator) -> Tensor | None:
        """sg u(x-) [n, d] of f(x-), or a draw from p(z|x-) of each; None where NT-Xent has none of them."""
        c = self.config
        if not c.generated_negatives:
            return None
        u = direction(self.network, f)
        return u if c.negative_latents == "mode" else draw_latents(u, c.beta, generator)

    @torch.no_grad()
    def targets(self, byol: Byol, views: Tensor) -> Tensor:
        """xi(views) [2N, d], once the target network has followed the encoder's last step."""
        byol.follow(self.encoder)
        with self.training_pass(byol.target):
            return byol.target(self.laid_out(views))

    def latents(self, images: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """sg h(t(x+)) / |h|, h(t(x)) and h(t'(x)): unit latents [batch_size, d], latents [N, d] twice; and the views
        [2N, C, H, W] that the last two are of.

        With the switch `shared_views` the first is made of the second, whose t is as random, and h runs once.
        """
        c = self.config
        if self.switches.shared_views:
            views = augment(torch.cat([images, images]), c.views, generator)
            h_first, h_second = self.encode(views).chunk(2)
            return F.normalize(h_first[: c.batch_size].detach(), dim=1), h_first, h_second, views
        z = self.guidance(augment(images[: c.batch_size], c.views, generator))
        if c.views.style == "kornia":  # one order of the jitter's operations for both views, as the authors have it
            views = augment(torch.cat([images, images]), c.views, generator)
        else:
            views = torch.cat([augment(images, c.views, generator), augment(images, c.views, generator)])
        h_first, h_second = self.encode(views).chunk(2)
        return z, h_first, h_second, views

    def encode(self, views: Tensor) -> Tensor:
        """h(views) [N, d] as the engine computes it in training."""
        if self._recomputed != self.switches.recomputed:
            self._recomputed = self.switches.recomputed
            recompute(self.encoder, self._recomputed)
        with self.training_pass(self.encoder):
            return self.encoder(self.laid_out(views))

    @torch.no_grad()
    def guidance(self, views: Tensor) -> Tensor:
        """sg h(t(x)) / |h(t(x))|: unit latents [N, d], with the batch's own normalisation statistics."""
        if self.config.guidance_statistics:
            return F.normalize(self.encode(views), dim=1)
        with frozen_statistics(self.encoder):
            return F.normalize(self.encode(views), dim=1)

    def representations(self, x: Tensor) -> dict[str, Tensor]:
        """h(x) and u(x), each [N, d] on the unit sphere; the encoder sees the images without augmentation."""
        return {"h": F.normalize(self.encoder(x), dim=1), "u": direction(self.network, self.network(x))}

    def pulls(self, images: Tensor, generator: torch.Generator) -> dict[str, float]:
        """Norms of the gradients of the divergence and of beta times the agreement, and the cosine between the two.

        With chains from noise, as long as in training, instead of the buffer's.
        """
        c = self.config
        positives = images[: c.batch_size]
        negatives = self.sample(c.batch_size, generator)
        f_positive, f_negative = self.network(torch.cat([positives, negatives])).split(c.batch_size)
        with torch.no_grad():
            z = F.normalize(self.encoder(augment(positives, c.views, generator)), dim=1)
        positive, negative = (image_energy(self.network, f) for f in (f_positive, f_negative))
        loss = contrastive_divergence(positive, negative, c.alpha)["divergence"]
        agreement = (direction(self.network, f_positive) * z).sum(1).mean()
        return gradient_norms(self.network, {"divergence": loss, "guidance": -c.beta * agreement})

    def ood_score(self, images: Tensor, beta: float = 0.1) -> Tensor:
        """s(x) = E(x) - beta u(x).h(x)/|h(x)| [N] (CLEL equation 5): higher is further from the data.

        The encoder sees the image without augmentation; call in evaluation mode. The authors' README has beta 0.1.
        """
        f = self.network(images)
        return image_energy(self.network, f) - beta * (
            direction(self.network, f) * F.normalize(self.encoder(images), dim=1)
        ).sum(1)


def nt_xent(first: Tensor, second: Tensor, temperature: float, negatives: Tensor | None = None) -> Tensor:
    """Mean over all 2n views of -log( exp(a.b / tau) / (sum over the other 2n - 1 views + sum over the negatives) ).

    Args:
        first, second: latents [n, d] of two views of the same n images, in the same order; normalised here.
        temperature: tau > 0.
        negatives: directions [m, d] of generated images, which no view should resemble; normalised here. The paper's
            equation 4 adds them as keys; gradients should not reach them (detach them).

    Returns:
        scalar loss; log(2n - 1 + m) when every latent is equal. (SimCLR, Chen et al., ICML 2020, equation 1.)
    """
    views = F.normalize(torch.cat([first, second]), dim=1)
    n = len(first)
    keys = views if negatives is None else torch.cat([views, F.normalize(negatives, dim=1)])
    logits = views @ keys.T / temperature
    own = torch.eye(2 * n, len(keys), dtype=torch.bool, device=views.device)
    positive = torch.arange(2 * n, device=views.device).roll(n)
    return F.cross_entropy(logits.masked_fill(own, -torch.inf), positive)
