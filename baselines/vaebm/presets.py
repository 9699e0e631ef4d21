"""Settings of VAEBM: quick (digits), evening (16x16), small (one GPU) and paper (the authors' command for CIFAR-10)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cache

from baselines.vae.presets import evening_settings, paper_settings, quick_settings, small_settings
from baselines.vaebm.config import VAEBMConfig
from baselines.vaebm.network import EnergyConfig
from baselines.vaebm.noise_langevin import NoiseLangevinConfig
from clel.methods.profiles.evening import evening_evaluate, evening_train
from clel.methods.profiles.full import full_evaluate
from clel.methods.settings import EvaluateConfig, Recipe, TrainConfig


@cache
def vaebm_recipes() -> Mapping[str, Recipe]:
    """quick, evening, small, paper."""
    vae_iterations, energy_iterations = 1400, 240
    iterations = vae_iterations + energy_iterations
    quick = VAEBMConfig(
        batch_size=64,
        vae=quick_settings(vae_iterations),
        vae_batch_size=64,
        vae_share=vae_iterations / iterations,
        energy=EnergyConfig(width=32, blocks=(1, 1, 2, 2), halved=(0, 2)),
        # larger steps than at 32x32, a stronger bound on the energy and a faster optimiser: docs/log/quick-settings.md
        langevin=NoiseLangevinConfig(step_size=0.05),
        spectral=5.0,
        lr=2e-4,
        betas=(0.9, 0.999),
    )
    first, second = 2500, 250
    evening = VAEBMConfig(
        vae=evening_settings(first),
        vae_batch_size=64,
        vae_share=first / (first + second),
        energy=EnergyConfig(width=64, blocks=(1, 1, 2, 2), halved=(0, 2)),
        langevin=NoiseLangevinConfig(step_size=0.01),
        spectral=1.0,
        lr=1e-4,
        betas=(0.9, 0.999),
        flip=True,
    )
    small = VAEBMConfig(
        vae=small_settings(), vae_batch_size=64, vae_share=50_000 / 80_000, energy=EnergyConfig(width=64), flip=True
    )
    paper = VAEBMConfig(vae=paper_settings(), flip=True)
    train = TrainConfig(
        iterations=iterations,
        ema_half_life=2000.0,
        checkpoint_every=40,
        # the level of E, which nothing holds, reaches some hundreds in good health
        max_energy=1e4,
        log_every=10,
        evaluate_every=200,
        sample_every=500,
    )
    paper_train = TrainConfig(iterations=108_000, max_energy=1e3, checkpoint_every=500)
    return {
        "quick": Recipe(quick, train, EvaluateConfig(samples=1000, steps=16, beyond=5.0), "vaebm"),
        "evening": Recipe(
            evening,
            replace(evening_train(first + second), max_energy=1e4),
            evening_evaluate(16, 1),
            "vaebm",
        ),
        "small": Recipe(
            small,
            TrainConfig(iterations=80_000, max_energy=1e3, checkpoint_every=500),
            full_evaluate(16, 1, ("clean",)),
            None,
        ),
        "paper": Recipe(paper, paper_train, full_evaluate(16, 1, ("clean",)), "vaebm"),
    }
