"""Sampling towards latents: the gradient by hand against autograd's, and what the chains reach."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from clel import CLEL, Images
from clel.chains.energy import Energy
from clel.chains.gradient import NormGradient
from clel.config import ConfigError
from clel.data import to_float
from clel.methods.spherical_energy import direction, norm_energy
from clel.networks.energy_network import NetworkConfig
from clel.networks.frozen import FrozenView
from clel.random import stream
from clel.sampling.conditional import (
    Aim,
    ClassifierGuidedEnergy,
    Guidance,
    GuidedEnergy,
    class_latents,
    guided_chains,
    latents,
    sample_towards,
)
from tests.clel.chains.test_gradient import CONFIGS, build, error, images
from tests.clel.training.trainer_process import small_config, small_images


def targets(n: int, d: int, length: float = 1.0) -> Tensor:
    return length * F.normalize(torch.randn(n, d, generator=torch.Generator().manual_seed(1)), dim=1)


@pytest.mark.parametrize("config", CONFIGS)
def test_the_gradient_by_hand_is_exact_in_float64(config: NetworkConfig) -> None:
    network = build(config).double()
    x, t = images().double(), targets(6, 4).double()

    def energy(y: Tensor) -> Tensor:
        f = network(y)
        return norm_energy(f) - (direction(network, f) * t).sum(1)

    expected = Energy(energy).gradient(x)
    hand = NormGradient(FrozenView(network, torch.float64).network, torch.float64, piece=4)  # type: ignore[arg-type]
    assert error(hand(x, t), expected)[0] < 1e-12
    # and guidance matters: without it the gradient is another
    assert error(hand(x), expected)[0] > 1e-2


def method(engine: str = "exact") -> CLEL:
    made = CLEL.build(replace(small_config(), engine=engine), small_images().spec, 0).eval()
    assert isinstance(made, CLEL)
    return made


@pytest.mark.parametrize("engine", ["exact", "float32", "bfloat16", "fast"])
def test_without_a_pull_the_chains_are_the_unconditional_ones(engine: str) -> None:
    own = method(engine)
    nowhere = torch.zeros(5, own.config.network.features)
    towards = sample_towards(own, nowhere, stream("cpu", 0, "a"), Guidance(steps=3))
    assert torch.allclose(towards, own.sample(5, stream("cpu", 0, "a"), 3), atol=1e-6)


@pytest.mark.parametrize("engine", ["exact", "float32", "fast"])
def test_chains_go_where_they_are_pulled(engine: str) -> None:
    own = method(engine)
    t = targets(8, own.config.network.features)
    start = torch.rand(8, *own.spec.shape, generator=stream("cpu", 0, "b"))
    energy = GuidedEnergy(own.frozen_energy(), t)
    moved = sample_towards(own, t, stream("cpu", 0, "b"), Guidance(1.0, steps=5))
    with torch.no_grad():
        assert float(energy(moved).mean()) < float(energy(start).mean())
    assert 0 <= float(moved.min()) and float(moved.max()) <= 1


def test_a_classifier_guides_by_its_gradient() -> None:
    own = method("fast")
    linear = torch.nn.Linear(own.spec.channels * own.spec.size**2, 3)
    x = torch.rand(4, *own.spec.shape, generator=stream("cpu", 0, "x"))
    labels, energy = torch.tensor([0, 1, 2, 1]), own.frozen_energy()
    guided = ClassifierGuidedEnergy(energy, lambda y: linear(y.flatten(1)), labels, 0.7)
    log_p = linear(x.flatten(1)).log_softmax(1)[torch.arange(4), labels]
    with torch.no_grad():
        assert torch.allclose(guided(x), energy(x) - 0.7 * log_p, atol=1e-6)
    expected = energy.gradient(x) + Energy(
        lambda y: -0.7 * linear(y.flatten(1)).log_softmax(1)[torch.arange(4), labels]
    ).gradient(x)
    assert torch.allclose(guided.gradient(x), expected, atol=1e-6)


def test_where_chains_begin_and_how_they_are_disturbed() -> None:
    own = method()
    energy, still = own.frozen_energy(), Guidance(steps=1)
    own.buffer.chains.fill_(0.25)
    assert not torch.allclose(
        guided_chains(own, energy, 3, Guidance(steps=1, start="buffer"), stream("cpu", 0, "c")),
        guided_chains(own, energy, 3, still, stream("cpu", 0, "c")),
    )
    own.config = replace(own.config, langevin=replace(own.config.langevin, step_size=1e-9, noise=0.0))
    held = guided_chains(own, energy, 3, Guidance(steps=1, start="buffer"), stream("cpu", 0, "c"))
    assert torch.allclose(held, torch.full_like(held, 0.25), atol=1e-6)
    # rounds divide the steps and change nothing by themselves; disturbances do
    own = method()
    whole, halves = (
        guided_chains(own, own.frozen_energy(), 3, Guidance(steps=5, rounds=rounds), stream("cpu", 0, "c"))
        for rounds in (1, 2)
    )
    assert torch.allclose(whole, halves, atol=1e-6)
    disturbed = guided_chains(
        own, own.frozen_energy(), 3, Guidance(steps=5, rounds=2, disturbed=True), stream("cpu", 0, "c")
    )
    assert not torch.allclose(whole, disturbed, atol=1e-2)
    with pytest.raises(ConfigError, match="the replay buffer has"):
        guided_chains(own, own.frozen_energy(), 10**6, Guidance(start="buffer"), stream("cpu", 0))
    with pytest.raises(ConfigError, match="weight is -1"):
        Guidance(-1)
    with pytest.raises(ConfigError, match="more of them than steps"):
        Guidance(steps=2, rounds=3)


def test_latents_of_images_and_classes() -> None:
    own, given = method(), small_images()
    labels = torch.arange(len(given)) % 2
    named = Images(given.pixels, labels, classes=("a", "b"))
    z = latents(own, given.pixels, batch=7)
    assert torch.allclose(z, F.normalize(own.encoder(to_float(given.pixels, None)), dim=1), atol=1e-5)
    of_classes = class_latents(own, named).z
    assert torch.allclose(of_classes[1], F.normalize(z[labels == 1].sum(0), dim=0), atol=1e-5)
    centred = class_latents(own, named, centred=True).z
    assert torch.allclose(centred[1], F.normalize((z - z.mean(0))[labels == 1].sum(0), dim=0), atol=1e-5)


def test_a_chain_is_pulled_to_its_class_and_to_one_of_its_images() -> None:
    own, given = method(), small_images()
    labels = torch.arange(len(given)) % 2
    of = class_latents(own, Images(given.pixels, labels, classes=("a", "b")), centred=True)
    asked = torch.tensor([1, 0, 1, 1])
    assert torch.equal(of.targets(asked, 0.0, stream("cpu", 0)), of.z[asked])
    t = of.targets(asked, 0.5, stream("cpu", 0))
    assert torch.allclose(t.norm(dim=1), torch.ones(4), atol=1e-6)
    for one, label in zip(t, asked.tolist(), strict=True):
        possible = F.normalize(of.z[label] + 0.5 * of.images[labels == label], dim=1)
        assert torch.isclose(possible, one, atol=1e-6).all(1).any()
    # different images as long as there are enough
    assert (
        len({tuple(row) for row in of.targets(torch.zeros(5, dtype=torch.int64), 1.0, stream("cpu", 1)).tolist()}) == 5
    )


def test_chains_that_missed_their_aim_start_anew() -> None:
    own, chains = method(), torch.arange(8)
    d = own.config.network.features
    asked = torch.zeros(8, d)
    x = sample_towards(own, asked, stream("cpu", 0, "r"), Guidance(steps=2))
    seen = (direction(own.network, own.network(x)), F.normalize(own.encoder(x), dim=1))
    # latents between which both u(x) and h(x) are divided
    pairs = (F.normalize(torch.randn(2, d, generator=torch.Generator().manual_seed(k)), dim=1) for k in range(200))
    of, u, h = next(
        (of, *nearest)
        for of in pairs
        if (nearest := [(z @ of.T).argmax(1) for z in seen]) and 0 < (nearest[0] == nearest[1]).sum() < 8
    )
    there = u == h
    assert torch.equal(Aim(of, u).reached(seen[0], chains), torch.ones(8, dtype=torch.bool))
    assert torch.equal(Aim(of, u).reached(seen[1], chains), there)
    assert torch.equal(Aim(of, u, negated=True).reached(seen[1][2:4], chains[2:4]), ~there[2:4])
    counted: list[int] = []
    again = Guidance(steps=2, restarts=1)
    once = sample_towards(own, asked, stream("cpu", 0, "r"), again, None, [Aim(of, u)], counted.append)
    assert counted == [int((~there).sum())]
    assert torch.equal(once[there], x[there])
    assert not torch.isclose(once[~there], x[~there]).flatten(1).all(1).any()
    # without aims nothing starts anew
    assert torch.equal(sample_towards(own, asked, stream("cpu", 0, "r"), again), x)


def test_what_cannot_be_is_refused() -> None:
    own = method()
    d = own.config.network.features
    with pytest.raises(ConfigError, match=f"expected \\[N, {d}\\]"):
        sample_towards(own, torch.zeros(3, d + 1), stream("cpu", 0))
    with pytest.raises(ConfigError, match="no labels"):
        class_latents(own, Images(small_images().pixels))
    with pytest.raises(ConfigError, match="this model has"):
        latents(own, torch.zeros(2, 3, 4, 4, dtype=torch.uint8))
