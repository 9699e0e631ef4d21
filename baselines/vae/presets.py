"""Settings of the VAE: quick (digits), evening (16x16), small (one GPU), paper (VAEBM's NVAE on CIFAR-10, no flows)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cache

from baselines.vae.config import VAEConfig, VAESettings
from baselines.vae.decoder import DecoderConfig
from baselines.vae.network import VAENetworkConfig
from clel.methods.profiles.evening import evening_evaluate, evening_train
from clel.methods.profiles.full import full_evaluate
from clel.methods.settings import EvaluateConfig, Recipe, TrainConfig

QUICK_NETWORK = VAENetworkConfig(
    width=16,
    groups=(1, 2),
    latents=4,
    outer_cells=1,
    cells=1,
    expansion=3,
    excite=False,
    weight_norm=False,
    decoder=DecoderConfig(min_log_sigma=-2.0),
)
"""8x8 digits: latents of 2x2 and 4x4."""


EVENING_NETWORK = VAENetworkConfig(
    width=32,
    groups=(2, 3),
    latents=8,
    outer_cells=1,
    cells=1,
    expansion=4,
    weight_norm=False,
    decoder=DecoderConfig(min_log_sigma=-3.0),
)
"""16x16 images: latents of 4x4 and 8x8."""


def quick_settings(iterations: int) -> VAESettings:
    """The VAE of the quick presets, for a training of so many iterations."""
    return VAESettings(network=QUICK_NETWORK, warmup=50, kl_warmup=round(0.3 * iterations), spectral=0.01)


def evening_settings(iterations: int) -> VAESettings:
    """The VAE of the evening presets, for a training of so many iterations."""
    return VAESettings(network=EVENING_NETWORK, warmup=100, kl_warmup=round(0.3 * iterations), spectral=0.01, flip=True)


def small_settings() -> VAESettings:
    """A quarter of the channels and a third of the groups of VAEBM's NVAE; it fits in float32."""
    network = VAENetworkConfig(width=32, groups=(10,))
    return VAESettings(network=network, warmup=1000, kl_warmup=15_000, flip=True)


def paper_settings() -> VAESettings:
    """VAEBM's NVAE without its flows, within the memory of one GPU: its authors take eight, in mixed precision."""
    return VAESettings(flip=True, precision="bfloat16", recompute=True)


@cache
def vae_recipes() -> Mapping[str, Recipe]:
    """quick, evening, small, paper."""
    iterations, long = 1600, 4000
    # the first stage of VAEBM keeps the rate that its own trials ran with
    quick = VAEConfig(**vars(replace(quick_settings(iterations), lr=3e-2)), batch_size=64)
    evening = VAEConfig(**vars(evening_settings(long)), batch_size=64)
    small = VAEConfig(**vars(small_settings()), batch_size=64)
    paper = VAEConfig(**vars(paper_settings()))
    train = TrainConfig(
        iterations=iterations,
        ema_half_life=2000.0,
        checkpoint_every=200,
        log_every=20,
        evaluate_every=400,
        sample_every=800,
    )
    return {
        "quick": Recipe(quick, train, EvaluateConfig(samples=1000, steps=0), "nvae"),
        "evening": Recipe(evening, evening_train(long), evening_evaluate(0, 1), "nvae"),
        "small": Recipe(small, TrainConfig(iterations=50_000), full_evaluate(0, 1, ("clean",)), None),
        "paper": Recipe(paper, TrainConfig(iterations=78_000), full_evaluate(0, 1, ("clean",)), "nvae"),
    }
