"""VAEBM: chains with known moments, data-dependent initialisation, stages with kills and roll-backs, loading a VAE."""

from __future__ import annotations

import json
import math
import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from baselines import METHODS
from baselines.vae.config import VAEConfig, VAESettings
from baselines.vae.decoder import DecoderConfig, image_mean
from baselines.vae.network import VAENetworkConfig
from baselines.vae.vae import VAE
from baselines.vaebm.config import VAEBMConfig
from baselines.vaebm.load import content_hash, load_vae
from baselines.vaebm.network import EnergyConfig, VAEBMEnergy, initialise_from, lipschitz_swish
from baselines.vaebm.noise_langevin import NoiseBufferConfig, NoiseLangevinConfig, noise_langevin, split_noise
from baselines.vaebm.vaebm import VAEBM
from clel import TrainConfig, Trainer
from clel.chains.energy import Energy
from clel.config import ConfigError, identity
from clel.data import ImageSpec, to_float
from clel.machine.signals import Interrupted
from clel.networks.energy_network import parameter_count
from clel.random import stream
from clel.runs.config import resolve, save_config
from clel.runs.execute import execute
from clel.storage import checkpoint
from tests.clel.training.test_trainer import equal, final_state, log
from tests.clel.training.trainer_process import small_images

GREY8 = ImageSpec(1, 8, (0.3,), (0.3,))
CIFAR = ImageSpec(3, 32, (0.5,) * 3, (0.25,) * 3)
TINY = VAESettings(
    network=VAENetworkConfig(width=4, groups=(1, 1), latents=2, outer_cells=1, cells=1, expansion=1, excite=False),
    warmup=1,
    kl_warmup=3,
    draws=2,
)
SMALL = VAEBMConfig(
    batch_size=4,
    vae=TINY,
    vae_batch_size=6,
    vae_share=0.5,
    energy=EnergyConfig(width=4, blocks=(1, 2), halved=(0, 1)),
    langevin=NoiseLangevinConfig(2, 1e-2),
    lr=1e-3,
)
TRAIN = TrainConfig(iterations=12, ema_half_life=8.0, checkpoint_every=4, log_every=1, sample_every=0)


def build(config: VAEBMConfig = SMALL, spec: ImageSpec = GREY8) -> VAEBM:
    method = VAEBM.build(config, spec, seed=0)
    assert isinstance(method, VAEBM)
    return method


def batch(n: int = 6) -> Tensor:
    return to_float(small_images().pixels[:n], stream("cpu", 1))


def in_stage_two(config: VAEBMConfig = SMALL) -> VAEBM:
    method = build(config)
    average = {name: 1.01 * p.detach() for name, p in method.named_parameters()}
    method.enter_stage(1, average, batch(), stream("cpu", 0))
    return method


def test_chain_has_the_moments_of_its_gaussian() -> None:
    """x = A eps + b and E = k/2 |x - c|^2: U is quadratic, P = I + k A^T A, its minimum where P m = k A^T (c - b).

    The discrete chain, eps <- (I - eta/2 P) eps + eta/2 P m + sqrt(eta) n, has mean m and a covariance S that solves
    S = M S M + eta I with M = I - eta/2 P.
    """
    generator = torch.Generator().manual_seed(0)
    a, b, c = (torch.randn(shape, generator=generator, dtype=torch.float64) for shape in ((4, 3), (4,), (4,)))
    k, eta = 2.0, 0.1
    p = torch.eye(3).double() + k * a.T @ a
    m = torch.linalg.solve(p, k * a.T @ (c - b))
    step = torch.eye(3).double() - eta / 2 * p
    covariance = eta * torch.linalg.inv(torch.eye(3).double() - step @ step)

    def energy(eps: Tensor) -> Tensor:
        return k / 2 * (eps @ a.T + b - c).square().sum(1)

    n = 40_000
    eps = torch.randn(n, 3, generator=generator, dtype=torch.float64)
    eps = noise_langevin(Energy(energy), eps, NoiseLangevinConfig(300, eta), generator)
    error = covariance.diagonal().sqrt() / math.sqrt(n)
    assert bool(((eps.mean(0) - m).abs() < 5 * error).all())
    torch.testing.assert_close(torch.cov(eps.T), covariance, rtol=0, atol=float(6 * covariance.max() / math.sqrt(n)))


def test_one_step_by_hand_through_the_decoder() -> None:
    """Finite differences of E(x(eps)) + |eps|^2 / 2, through latents of both groups and pixels."""
    method = in_stage_two().eval()
    method.double()
    eps = torch.randn(2, method.latents + 64, generator=stream("cpu", 1), dtype=torch.float64)
    energy = method.chain_energy()

    def u(eps: Tensor) -> Tensor:
        latents = split_noise(eps, method.vae.network.latent_shapes)
        mean, log_std = (5 * torch.tanh(method.vae.network.generate(latents) / 5)).chunk(2, 1)
        std = log_std.clamp(min=-5).exp() / 2
        x = ((mean + 1) / 2 + std * eps[:, method.latents :].view(-1, 1, 8, 8)).clamp(0, 1)
        return method.network(x) + eps.square().sum(1) / 2

    eta = 1e-2
    with torch.no_grad():
        moved = noise_langevin(energy, eps, NoiseLangevinConfig(1, eta), stream("cpu", 2))
        noise = torch.randn(eps.shape, generator=stream("cpu", 2), dtype=torch.float64)
        for i in (0, 1, method.latents - 1, method.latents, method.latents + 40):
            shift = torch.zeros_like(eps)
            shift[:, i] = 1e-5
            slope = (u(eps + shift) - u(eps - shift)) / 2e-5
            expected = eps[:, i] - eta / 2 * slope + math.sqrt(eta) * noise[:, i]
            torch.testing.assert_close(moved[:, i], expected, rtol=1e-6, atol=1e-7)
    assert all(p.grad is None for p in method.parameters())


def test_latents_are_split_group_by_group() -> None:
    eps = torch.arange(2 * 30.0).view(2, 30)
    first, second = split_noise(eps, [(2, 1, 2), (2, 2, 2)])
    assert first[0].flatten().tolist() == [0, 1, 2, 3] and second[1].flatten().tolist() == list(range(34, 42))


def test_swish_has_slope_at_most_one() -> None:
    x = torch.linspace(-10, 10, 4001, dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(lipschitz_swish(x).sum(), x)
    assert 0.99 < float(slope.max()) <= 1
    v = x.detach().numpy()
    np.testing.assert_allclose(lipschitz_swish(x).detach(), v / (1 + np.exp(-v)) / 1.1)


def test_initialisation_from_data_gives_each_channel_its_scale() -> None:
    network = build().network
    images = torch.rand(64, 1, 8, 8, generator=stream("cpu", 1))
    outputs: dict[nn.Module, Tensor] = {}
    initialise_from(network, images)
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            layer.register_forward_hook(lambda module, _, y: outputs.__setitem__(module, y))
    network(images)
    assert len(outputs) == 1 + 2 * 2 + 2
    for layer, y in outputs.items():
        std = y.std((0, 2, 3))
        torch.testing.assert_close(std, torch.full_like(std, 0.2), rtol=1e-3, atol=1e-3)
        if layer.bias is not None:
            torch.testing.assert_close(y.mean((0, 2, 3)), torch.zeros_like(std), rtol=0, atol=1e-4)


def test_a_loaded_network_is_not_initialised_again() -> None:
    network, other = build().network, build().network
    initialise_from(network, torch.rand(32, 1, 8, 8, generator=stream("cpu", 1)))
    other.load_state_dict(network.state_dict())
    x = torch.rand(5, 1, 8, 8, generator=stream("cpu", 2))
    assert torch.equal(network(x), other(x))
    initialise_from(other, 3 * torch.rand(32, 1, 8, 8, generator=stream("cpu", 3)))
    assert torch.equal(network(x), other(x))
    assert all(bool(v) for name, v in other.state_dict().items() if name.endswith("initialised"))


def test_published_energy_network() -> None:
    """VAEBM's row of the paper's Table 1b: 135.88 M, NVAE with its flows (test_vae.py) and this network."""
    network = VAEBMEnergy(EnergyConfig(), CIFAR)
    assert parameter_count(network) == 5_137_921
    assert round((130_744_004 + 5_137_921) / 1e6, 2) == 135.88
    sides, y = [], lipschitz_swish(network.stem(torch.rand(1, 3, 32, 32)))
    for block in network.blocks:
        y = block(y)
        sides.append(tuple(y.shape[1:]))
    assert sides == [(128, 16, 16), (128, 16, 16), (256, 8, 8), (256, 8, 8), (256, 4, 4), (256, 4, 4)]


def test_published_settings() -> None:
    c = VAEBMConfig()
    assert c.langevin == NoiseLangevinConfig(10, 8e-5)
    assert (c.batch_size, c.lr, c.betas, c.weight_decay, c.spectral) == (32, 4e-5, (0.99, 0.999), 3e-5, 0.2)
    assert c.buffer == NoiseBufferConfig(False, 10_000, 0.6, 5000)
    recipe = VAEBM.recipe("paper")
    vae, energy = build(replace(SMALL, vae_share=recipe.config.vae_share)).stages(recipe.train.iterations)
    assert (vae.iterations, energy.iterations) == (78_000, 30_000)
    assert (vae.gradient_evaluations, energy.gradient_evaluations) == (0, 2)
    assert recipe.evaluate.steps == 16


def test_training_step_of_stage_two_by_hand() -> None:
    method = in_stage_two().train()
    x = batch()
    losses = method.training_step(x, stream("cpu", 3))
    negatives = method.negatives(stream("cpu", 3))
    with torch.no_grad():
        difference = method.network(x[:4]).mean() - method.network(negatives).mean()
    torch.testing.assert_close(losses["loss"], difference + 0.2 * losses["spectral"])
    losses["loss"].backward()
    assert all(p.grad is None for p in method.vae.parameters())
    assert all(p.grad is not None for p in method.network.parameters())


def test_stage_two_keeps_the_averaged_vae_and_its_statistics() -> None:
    method = build()
    before = {name: p.detach().clone() for name, p in method.named_parameters()}
    method = in_stage_two().train()
    for name, p in method.vae.named_parameters(prefix="vae"):
        assert torch.equal(p, 1.01 * before[name])
    statistics = [b.clone() for b in method.vae.buffers()]
    method.training_step(batch(), stream("cpu", 3))
    assert all(torch.equal(a, b) for a, b in zip(statistics, method.vae.buffers(), strict=True))


def test_without_steps_it_samples_its_vae() -> None:
    method = in_stage_two().eval()
    eps = method.new_noise(3, stream("cpu", 4))
    raw = method.vae.network.generate(split_noise(eps, method.vae.network.latent_shapes))
    expected = image_mean(raw, TINY.network.decoder)
    torch.testing.assert_close(method.sample(3, stream("cpu", 4), 0), expected.detach())


def test_energy_is_that_of_both_parts() -> None:
    method = in_stage_two().eval()
    x = batch(3)
    torch.testing.assert_close(method.energy(x), method.network(x) + method.vae.energy(x))
    first = build().eval()
    assert torch.equal(first.energy(x), first.vae.energy(x))


def test_buffer_starts_as_noise_and_takes_the_newest_chains() -> None:
    persistent = NoiseBufferConfig(True, size=6, probability=1.0, anneal=2)
    method = in_stage_two(replace(SMALL, buffer=persistent)).train()
    method.reset_chains(stream("cpu", 5))
    assert bool((method.stored == torch.randn(6, method.latents, generator=stream("cpu", 5))).all())
    changed = []
    for t in range(3):
        before = method.stored.clone()
        method.training_step(batch(), stream("cpu", 6, t))
        changed.append((method.stored != before).any(1).nonzero().flatten().tolist())
    assert changed == [[0, 1, 2, 3], [0, 1, 4, 5], [2, 3, 4, 5]]
    chains = method.chains()
    assert chains is not None and chains.shape == (6, 1, 8, 8)


def test_probability_of_going_on_is_annealed() -> None:
    """At iteration 0 all chains are new; once annealed, with probability 1 and no steps, all are the buffer's."""
    persistent = NoiseBufferConfig(True, size=50, probability=1.0, anneal=10)
    config = replace(SMALL, buffer=persistent, langevin=NoiseLangevinConfig(0))
    method = in_stage_two(config).train()
    marked = method.stored.fill_(7.0)
    method.negatives(stream("cpu", 1))
    assert int((marked[:4] == 7).all(1).sum()) == 0
    method.step.fill_(10)
    method.negatives(stream("cpu", 1))
    assert bool((marked[40:44] == 7).all())


def trainer(folder: Path, train: TrainConfig = TRAIN, config: VAEBMConfig = SMALL) -> Trainer:
    images = small_images()
    return Trainer(build(config, images.spec), images, train, folder)


def stop(trainer: Trainer, at: int) -> None:
    """Run until a signal that arrives in the step that ends at iteration `at`."""
    step = trainer.step

    def step_then_signal() -> Any:
        losses = step()
        if trainer.iteration == at:
            os.kill(os.getpid(), signal.SIGTERM)
        return losses

    trainer.step = step_then_signal  # type: ignore[method-assign]
    with pytest.raises(Interrupted):
        trainer.run()


def test_stops_about_the_boundary_change_nothing(tmp_path: Path) -> None:
    whole = trainer(tmp_path / "whole")
    outcome = whole.run()
    assert [(s.name, s.iterations) for s in outcome.stages] == [("vae", 6), ("energy", 6)]
    assert all(s.seconds > 0 and s.peak_memory_bytes > 0 for s in outcome.stages)
    assert outcome.seconds == pytest.approx(sum(s.seconds for s in outcome.stages))
    assert outcome.gradient_evaluations == 6 * 2
    for at in (5, 6, 7, 11):
        stop(trainer(tmp_path / "stopped"), at)
        found = checkpoint.latest(tmp_path / "stopped" / "checkpoints")
        # a checkpoint at the boundary is of the time before stage two
        assert found is not None and int(found[1]["method"]["_extra_state"]) == int(at > 6)
    again = trainer(tmp_path / "stopped")
    again.run()
    assert equal(final_state(tmp_path / "whole"), final_state(tmp_path / "stopped"))
    assert log(tmp_path / "whole") == log(tmp_path / "stopped")
    assert again.method.stage == 1


@pytest.mark.parametrize("every", [3, 4], ids=["to the boundary", "into stage one"])
def test_roll_back_from_stage_two(tmp_path: Path, every: int) -> None:
    """Divergence in iteration 7: back to 6, the boundary itself, or to 4, in stage one; also with a stop between."""
    train = replace(TRAIN, checkpoint_every=every)

    def faulty(folder: str) -> Trainer:
        made = trainer(tmp_path / folder, train)
        inner = made.method.training_step

        def training_step(images: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
            losses = inner(images, generator)
            if made.iteration == 6 and made.divergences == 0:
                losses["energy_positive"] = losses["energy_positive"] * torch.nan
            return losses

        made.method.training_step = training_step  # type: ignore[method-assign]
        return made

    outcome = faulty("whole").run()
    assert (outcome.status, outcome.divergences, outcome.iterations) == ("ok", 1, 12)
    (rollback,) = [line for line in log(tmp_path / "whole") if line["kind"] == "rollback"]
    assert (rollback["iteration"], rollback["diverged_at"]) == (6 if every == 3 else 4, 7)
    # the step of stage two that was lost is counted
    assert outcome.gradient_evaluations == 2 * (1 + 6)
    stop(faulty("stopped"), 8)
    faulty("stopped").run()
    assert equal(final_state(tmp_path / "whole"), final_state(tmp_path / "stopped"))


@pytest.mark.parametrize("iterations", [6, 8])
def test_the_average_starts_anew_with_stage_two(tmp_path: Path, iterations: int) -> None:
    """It is a copy until 12 images were seen in the stage, 3 iterations; the VAE, once kept, stays what it was."""
    made = trainer(tmp_path, replace(TRAIN, iterations=iterations, ema_half_life=12.0))
    made.run()
    live = dict(made.method.named_parameters())
    same = {name: torch.equal(average, live[name]) for name, average in made.average.shadow.items()}
    assert all(same[name] for name in same if name.startswith("vae."))
    assert all(same.values()) == (iterations == 6)


def test_a_trained_vae_can_be_loaded_in_place_of_stage_one(tmp_path: Path) -> None:
    images = small_images()
    config = VAEConfig(**vars(TINY), batch_size=6)
    method = VAE.build(config, images.spec, 0)
    Trainer(method, images, replace(TRAIN, iterations=4), tmp_path / "vae").run()
    folder = str(tmp_path / "vae")
    with pytest.raises(ConfigError, match=r"have the content [0-9a-f]{16}") as error:
        load_vae(folder, "", TINY.network)
    content = str(error.value).split("content ")[1][:12]
    state = load_vae(folder, content, TINY.network)
    assert content_hash(state).startswith(content)
    with pytest.raises(ConfigError, match=r"another network.*latents: 2 -> 3"):
        load_vae(folder, content, replace(TINY.network, latents=3))
    with pytest.raises(ConfigError, match="no readable checkpoint"):
        load_vae(str(tmp_path), content, TINY.network)

    loaded = replace(SMALL, vae_share=0.0, vae_content=content, vae_run=folder)
    assert identity(loaded) == identity(replace(loaded, vae_run="elsewhere"))
    whole = replace(loaded, vae_content=content_hash(state))
    assert VAEBM.settled(whole) is whole and VAEBM.settled(SMALL) is SMALL
    for written in (content, content.upper(), f" {content[:4]}", content_hash(state).upper()):
        assert VAEBM.settled(replace(loaded, vae_content=written)) == whole
    with pytest.raises(ConfigError, match=f"have the content {whole.vae_content}"):
        VAEBM.settled(replace(loaded, vae_content=""))
    costs = {"iterations": 4, "seconds": 1000.0, "peak_memory_bytes": 10**15}
    (tmp_path / "vae" / "training.json").write_text(
        json.dumps({"status": "ok", "reason": None, "training": costs, "provenance": {}})
    )
    made = trainer(tmp_path / "run", replace(TRAIN, iterations=4), loaded)
    outcome = made.run()
    assert [s.iterations for s in outcome.stages] == [0, 4]
    # what the VAE took elsewhere is part of what the method costs
    assert outcome.stages[0].seconds == 1000 and outcome.stages[0].peak_memory_bytes == 10**15
    assert outcome.seconds == 1000 + outcome.stages[1].seconds
    for name, value in made.method.vae.state_dict().items():
        assert torch.equal(value, state[name])
    (tmp_path / "vae").rename(tmp_path / "moved")
    resumed = trainer(tmp_path / "run", replace(TRAIN, iterations=4), replace(loaded, vae_run=str(tmp_path / "moved")))
    assert resumed.run().status == "ok"


@pytest.mark.parametrize("content", ["", "HEX", "ab"])
def test_a_vae_that_is_missing_or_another_is_refused_before_anything_is_written(
    content: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise AssertionError("the feature space came first")

    monkeypatch.setattr("clel.runs.execute.measured_on", refuse)
    Trainer(VAE.build(VAEConfig(**vars(TINY), batch_size=6), GREY8), small_images(), TRAIN, tmp_path / "vae").run()
    config = replace(SMALL, vae_share=0.0, vae_content=content, vae_run=str(tmp_path / "vae"))
    run = replace(resolve(METHODS, "vaebm", "quick"), config=config, device="cpu")
    with pytest.raises(ConfigError, match="have the content"):
        execute(run, tmp_path / "run", METHODS)
    assert not list((tmp_path / "run").glob("[a-z]*"))


def test_a_run_of_another_kind_is_no_vae(tmp_path: Path) -> None:
    save_config(resolve(METHODS, "vaebm", "quick"), tmp_path / "vaebm")
    with pytest.raises(ConfigError, match="is a run of vaebm; vae_run takes one of vae"):
        load_vae(str(tmp_path / "vaebm"), "ab", TINY.network)
    trainer(tmp_path / "python", replace(TRAIN, iterations=2)).run()
    with pytest.raises(ConfigError, match="holds another method than a VAE"):
        load_vae(str(tmp_path / "python"), "ab", TINY.network)


@pytest.mark.parametrize(
    "changes",
    [
        {"vae": replace(TINY, network=replace(TINY.network, decoder=DecoderConfig("logistic")))},
        {"vae_share": 1.0},
        {"vae_share": 0.0},
        {"vae_content": "ab"},
        {"vae_run": "a folder"},
        {"lr": 0.0},
        {"vae": replace(TINY, temperature=0.7)},
    ],
)
def test_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        replace(SMALL, **changes)


def test_refused_networks() -> None:
    with pytest.raises(ConfigError, match="expected numbers of blocks"):
        EnergyConfig(halved=(9,))
    with pytest.raises(ConfigError, match="8 pixels cannot be halved 4 times"):
        VAEBMEnergy(EnergyConfig(width=4, blocks=(1,) * 4, halved=(0, 1, 2, 3)), GREY8)


def test_chains_in_the_noise_are_followed() -> None:
    """The images of one chain after each number of steps, and not of chains that start anew."""
    method = build().eval()
    method.stage = 1
    with torch.no_grad():
        states = list(method.follow(2, stream("cpu", 3), (1, 4, 9)))
        for steps, x in zip((1, 4, 9), states, strict=True):
            assert torch.equal(x, method.sample(2, stream("cpu", 3), steps))
        method.stage = 0
        assert torch.equal(next(method.follow(2, stream("cpu", 3), (1, 4))), method.vae.sample(2, stream("cpu", 3)))
