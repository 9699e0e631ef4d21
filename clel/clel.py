"""CLEL (arXiv 2303.03023, Algorithm 1): a spherical latent-variable EBM and a contrastive encoder guide each other.

With x+ data, x- Langevin chains on E, h the encoder, t, t' ~ T strong augmentations, sg the stop-gradient:
    L_ebm = mean(E(x+) - E(x-)) + alpha mean(E(x+)^2 + E(x-)^2) - beta mean(u(x+) . sg h(t(x+)) / |h|)
    L_enc = NT-Xent(h(t(x)), h(t'(x)); tau) with sg u(x-) as further negatives
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import SGD
from torch.optim.lr_scheduler import CosineAnnealingLR

from clel.augment import STRONG, AugmentConfig, augment
from clel.config import ADDED, require
from clel.contrastive import nt_xent
from clel.data import ImageSpec
from clel.ebm import EBMConfig, LangevinEBM, contrastive_divergence, gradient_norms, require_images
from clel.energy import direction, norm_energy
from clel.evening import NETWORK, evening_ebm, evening_evaluate, evening_train, persistent
from clel.full import full_evaluate
from clel.langevin import BufferConfig
from clel.method import Optimisation
from clel.networks import (
    NETWORKS,
    Encoder,
    EncoderConfig,
    EnergyNetwork,
    NetworkConfig,
    Normalisation,
    normalised_by,
)
from clel.norm_gradient import NormGradient, norm_gradient
from clel.protocol import Protocol, training_sampler
from clel.quick import DIGIT_VIEWS, quick_ebm, quick_evaluate, quick_train
from clel.recompute import frozen_statistics, recompute
from clel.settings import Recipe, TrainConfig
from clel.shapes import NETWORK as SHAPES_NETWORK
from clel.shapes import SHAPE_VIEWS, shapes_ebm, shapes_evaluate, shapes_train


@dataclass(frozen=True, kw_only=True)
class CLELConfig(EBMConfig):
    """Hyper-parameters of CLEL; the defaults are CLEL-Base's on CIFAR-10."""

    network: NetworkConfig = field(default_factory=NetworkConfig)
    """f and g."""
    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    """h."""
    buffer: BufferConfig = field(default_factory=lambda: BufferConfig(augmentation=STRONG))
    """Where the chains live between iterations."""
    beta: float = 0.01
    """Weight of the agreement between u(x+) and the encoder's latent. [CLEL Appendix B: 0.01]"""
    temperature: float = 0.2
    """tau of NT-Xent. [authors' code: 0.2]"""
    generated_negatives: bool = True
    """Add u(x-) to the keys of NT-Xent. [CLEL equation 4]"""
    contrastive_batch_size: int = 64
    """Images of the contrastive loss; the first batch_size of them are the EBM's x+. [CLEL Appendix B: 256 in Large]"""
    views: AugmentConfig = STRONG
    """T: the augmentation of the views, and of the image whose latent guides the EBM. [CLEL Appendix B]"""
    encoder_lr: float = 0.03
    """SGD's learning rate for the encoder, annealed to 0 by a cosine. [CLEL Appendix B: 3e-2]"""
    encoder_momentum: float = 0.9
    """SGD's momentum. [CLEL Appendix B: 0.9]"""
    encoder_weight_decay: float = 5e-4
    """SGD's weight decay. [CLEL Appendix B: 5e-4]"""
    guidance_statistics: bool = True
    """Let the guidance forward h(t(x+)) update h's batch-norm running statistics too. [authors' code: yes]
    The engine fast has no such forward (docs/deviations.md, row 11b)."""
    normalisation: Normalisation = field(default="data", metadata=ADDED)
    """Mean and std that networks normalise by: the training split's, or CIFAR-10's. [authors' code, ImageNet 32x32:
    CIFAR-10's]"""

    def __post_init__(self) -> None:
        super().__post_init__()
        require(
            self.encoder.features == self.network.features,
            f"encoder.features {self.encoder.features} and network.features {self.network.features} must be equal",
        )
        require(
            self.contrastive_batch_size >= self.batch_size,
            f"contrastive_batch_size {self.contrastive_batch_size} is below batch_size {self.batch_size}; "
            "the EBM's images are the first of the contrastive batch",
        )
        require(self.temperature > 0, f"temperature is {self.temperature}; expected a positive number")
        require(self.beta >= 0, f"beta is {self.beta}; expected 0 or more")


class CLEL(LangevinEBM):
    """Contrastive latent-guided energy learning."""

    title = "CLEL"
    Config = CLELConfig
    network: EnergyNetwork
    config: CLELConfig

    def __init__(self, config: CLELConfig, spec: ImageSpec) -> None:
        spec = normalised_by(spec, config.normalisation)
        super().__init__(config, spec)
        self.network = EnergyNetwork(config.network, spec)
        # beside the encoder's; for an EBM alone the passes computed twice cost more than the memory is worth
        self.widest = config.network.widths[0] * spec.size**2
        self.encoder = Encoder(config.encoder, spec)

    @classmethod
    def recipes(cls) -> Mapping[str, Recipe]:
        return clel_recipes()

    @classmethod
    def disturbed(cls, config: CLELConfig) -> Protocol:
        return training_sampler(config.buffer.augmentation.style)

    @property
    def images_per_step(self) -> int:
        return self.config.contrastive_batch_size

    def network_energy(self, network: nn.Module, x: Tensor) -> Tensor:
        return norm_energy(network(x))

    def hand_gradient(self, network: nn.Module, dtype: torch.dtype, in_pieces: bool) -> NormGradient | None:
        return norm_gradient(network, dtype, in_pieces, self.spec.size)

    def optimisers(self, iterations: int) -> list[Optimisation]:
        c = self.config
        sgd = SGD(
            list(self.encoder.parameters()),
            lr=c.encoder_lr,
            momentum=c.encoder_momentum,
            weight_decay=c.encoder_weight_decay,
            fused=self.switches.fused_optimisers or None,
        )
        cosine = CosineAnnealingLR(sgd, iterations)
        return [self.network_optimisation(iterations), (sgd, cosine)]

    def training_step(self, images: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
        c = self.config
        require_images(images, self.images_per_step)
        positives, negatives = images[: c.batch_size], self.negatives(generator)

        with self.training_pass(self.network):
            f = self.trained_network()(self.laid_out(torch.cat([positives, negatives])))
        f_positive, f_negative = f.split(c.batch_size)
        losses = contrastive_divergence(norm_energy(f_positive), norm_energy(f_negative), c.alpha)

        u_negative = direction(self.network, f_negative.detach()).detach() if c.generated_negatives else None
        z, h_first, h_second = self.latents(images, generator)
        agreement = (direction(self.network, f_positive) * z).sum(1).mean()
        contrastive = nt_xent(h_first, h_second, c.temperature, u_negative)

        losses |= {"agreement": agreement.detach(), "contrastive": contrastive.detach()}
        losses["loss"] = losses["divergence"] - c.beta * agreement + contrastive
        return losses

    def latents(self, images: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """sg h(t(x+)) / |h|, h(t(x)) and h(t'(x)): unit latents [batch_size, d], latents [N, d] twice.

        With the switch `shared_views` the first is made of the second, whose t is as random, and h runs once.
        """
        c = self.config
        if self.switches.shared_views:
            h_first, h_second = self.encode(augment(torch.cat([images, images]), c.views, generator)).chunk(2)
            return F.normalize(h_first[: c.batch_size].detach(), dim=1), h_first, h_second
        z = self.guidance(augment(images[: c.batch_size], c.views, generator))
        if c.views.style == "kornia":  # one order of the jitter's operations for both views, as the authors have it
            views = augment(torch.cat([images, images]), c.views, generator)
        else:
            views = torch.cat([augment(images, c.views, generator), augment(images, c.views, generator)])
        h_first, h_second = self.encode(views).chunk(2)
        return z, h_first, h_second

    def encode(self, views: Tensor) -> Tensor:
        """h(views) [N, d] as the engine computes it in training."""
        recompute(self.encoder, self.switches.recomputed)
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

        With chains from noise, as long as in training, in the place of the buffer's.
        """
        c = self.config
        positives = images[: c.batch_size]
        negatives = self.sample(c.batch_size, generator)
        f_positive, f_negative = self.network(torch.cat([positives, negatives])).split(c.batch_size)
        with torch.no_grad():
            z = F.normalize(self.encoder(augment(positives, c.views, generator)), dim=1)
        loss = contrastive_divergence(norm_energy(f_positive), norm_energy(f_negative), c.alpha)["divergence"]
        agreement = (direction(self.network, f_positive) * z).sum(1).mean()
        return gradient_norms(self.network, {"divergence": loss, "guidance": -c.beta * agreement})

    def ood_score(self, images: Tensor, beta: float = 0.1) -> Tensor:
        """s(x) = 1/2 |f(x)|^2 - beta u(x).h(x)/|h(x)| [N] (CLEL equation 5): higher is further from the data.

        The encoder sees the image without augmentation; call in evaluation mode. The authors' README has beta 0.1.
        """
        f = self.network(images)
        return norm_energy(f) - beta * (direction(self.network, f) * F.normalize(self.encoder(images), dim=1)).sum(1)


def clel_recipes() -> dict[str, Recipe]:
    """quick (digits), shapes (attributes to compose), evening (16x16, and with the paper's chains), small (the paper's
    ablation setting), paper (Base), and the steps of Table 1b up to large."""
    quick = CLELConfig(
        network=NETWORKS["tiny"],
        encoder=EncoderConfig("tiny", hidden=256, features=64),
        views=DIGIT_VIEWS,
        beta=0.003,
        **quick_ebm(),
    )
    shapes = CLELConfig(
        network=SHAPES_NETWORK,
        encoder=EncoderConfig("tiny", hidden=256, features=64),
        views=SHAPE_VIEWS,
        beta=0.01,
        **shapes_ebm(),
    )
    encoder = EncoderConfig("tiny", hidden=512)
    evening = CLELConfig(network=NETWORK, encoder=encoder, **evening_ebm())
    base = CLELConfig()
    multiscale = replace(base, network=NETWORKS["multiscale"])
    wide_batch = replace(multiscale, contrastive_batch_size=256)
    large = replace(wide_batch, network=NETWORKS["large"])
    paper = TrainConfig()
    return {
        "quick": Recipe(quick, quick_train(), quick_evaluate(), "clel-base"),
        "shapes": Recipe(shapes, shapes_train(), shapes_evaluate(), None),
        "evening": Recipe(evening, evening_train(), evening_evaluate(), "clel-base"),
        "evening-persistent": Recipe(replace(evening, **persistent()), evening_train(), evening_evaluate(), None),
        "small": Recipe(
            replace(base, network=NETWORKS["small"]),
            TrainConfig(iterations=50_000),
            full_evaluate(),
            "ablation-components-c",
        ),
        "paper": Recipe(base, paper, full_evaluate(), "clel-base"),
        "multiscale": Recipe(multiscale, paper, full_evaluate(), "clel-multiscale"),
        "multiscale-256": Recipe(wide_batch, paper, full_evaluate(), "clel-multiscale-256"),
        "celeba64": Recipe(replace(base, network=NETWORKS["base64"]), paper, full_evaluate(), None),
        "large": Recipe(large, paper, full_evaluate(steps=1200, rounds=20), "clel-large"),
    }
