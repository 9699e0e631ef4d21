"""CLEL's hyper-parameters, and its presets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Literal

from clel.chains.langevin import BufferConfig
from clel.config import ADDED, require
from clel.data.augment import STRONG, AugmentConfig
from clel.methods.ebm import EBMConfig
from clel.methods.profiles.evening import NETWORK, evening_ebm, evening_evaluate, evening_train, persistent
from clel.methods.profiles.full import full_evaluate
from clel.methods.profiles.quick import DIGIT_VIEWS, quick_ebm, quick_evaluate, quick_train
from clel.methods.profiles.shapes import NETWORK as SHAPES_NETWORK
from clel.methods.profiles.shapes import SHAPE_VIEWS, shapes_ebm, shapes_evaluate, shapes_train
from clel.methods.settings import Recipe, TrainConfig
from clel.networks.encoder import EncoderConfig
from clel.networks.energy_network import NETWORKS, NetworkConfig, Normalisation


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
    The engine fast has no such forward (docs/reference/deviations.md, row 11b)."""
    normalisation: Normalisation = field(default="data", metadata=ADDED)
    """Mean and std that networks normalise by: the training split's, or CIFAR-10's. [authors' code, ImageNet 32x32:
    CIFAR-10's]"""
    negative_latents: Literal["mode", "draw"] = field(default="mode", metadata=ADDED)
    """The latent of a generated negative x-: mode, u(x-) [CLEL equation 4, authors' code]; draw, one z ~ p(z|x-), which
    is von Mises-Fisher around it, so that z ~ p(z) [CLEL's text]. At a small beta that is nearly uniform."""
    objective: Literal["nt_xent", "byol"] = field(default="nt_xent", metadata=ADDED)
    """What trains h: NT-Xent (SimCLR), or BYOL, which has no negatives. [CLEL Table 5]"""
    byol_decay: float = field(default=0.996, metadata=ADDED)
    """tau of BYOL's target network, constant. [BYOL: from 0.996 to 1 by a cosine]"""

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
        require(
            not (self.objective == "byol" and self.generated_negatives),
            "objective byol has no negatives; set generated_negatives to false first",
        )
        require(
            self.generated_negatives or self.negative_latents == "mode",
            "negative_latents says how generated negatives are made, and generated_negatives is false",
        )
        require(
            self.objective == "byol" or self.byol_decay == 0.996, "byol_decay is of objective byol; leave it as it is"
        )


@cache
def clel_recipes() -> Mapping[str, Recipe]:
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
        # beta: docs/log/README.md, "what keeps evening's CLEL from breaking down"
        "evening": Recipe(replace(evening, beta=0.001), evening_train(), evening_evaluate(), "clel-base"),
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
