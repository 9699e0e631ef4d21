"""The options that ablations take away or exchange, against their formulas; their defaults change nothing."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from baselines.plain import PlainConfig, PlainEBM
from clel import TrainConfig, Trainer
from clel.chains.energy import Energy
from clel.chains.gradient import NormGradient, norm_gradient
from clel.config import ConfigError, essential, from_dict, identity, to_dict
from clel.methods.clel import CLEL, CLELConfig, nt_xent
from clel.methods.ebm import contrastive_divergence
from clel.methods.spherical_energy import direction, image_energy, joint_energy, norm_energy
from clel.methods.von_mises_fisher import draw_latents
from clel.networks.encoder import EncoderConfig
from clel.networks.energy_network import EnergyNetwork, NetworkConfig
from clel.networks.frozen import FrozenView
from clel.sampling.conditional import GuidedEnergy
from tests.clel.methods.test_clel import CONFIG, NETWORK, SPEC, Scripted, build, images
from tests.clel.training.trainer_process import small_images

ADDED = {
    CLELConfig: {"negative_latents", "objective", "byol_decay"},
    NetworkConfig: {"projection", "energy"},
    EncoderConfig: {"backbone", "content", "side", "weights"},
}
"""Options that came after runs were made without them."""


class AsBefore(CLEL):
    """The training step before there were these options, as it was written."""

    def training_step(self, images: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
        c = self.config
        positives, negatives = images[: c.batch_size], self.negatives(generator)
        with self.training_pass(self.network):
            f = self.trained_network()(self.laid_out(torch.cat([positives, negatives])))
        f_positive, f_negative = f.split(c.batch_size)
        losses = contrastive_divergence(norm_energy(f_positive), norm_energy(f_negative), c.alpha)
        u_negative = direction(self.network, f_negative.detach()).detach() if c.generated_negatives else None
        z, h_first, h_second, _ = self.latents(images, generator)
        agreement = (direction(self.network, f_positive) * z).sum(1).mean()
        contrastive = nt_xent(h_first, h_second, c.temperature, u_negative)
        losses["loss"] = losses["divergence"] - c.beta * agreement + contrastive
        return losses


@pytest.mark.parametrize("engine", ["float32", "fast"])
def test_defaults_train_to_the_same_bits(engine: Any, tmp_path: Any) -> None:
    data = small_images()
    train = TrainConfig(iterations=3, checkpoint_every=3, log_every=1, sample_every=0)
    states = []
    for kind in (CLEL, AsBefore):
        torch.manual_seed(0)
        trainer = Trainer(kind(replace(CONFIG, engine=engine), data.spec), data, train, tmp_path / kind.__name__)
        trainer.run()
        states.append(trainer.method.state_dict() | {f"average {k}": v for k, v in trainer.average.shadow.items()})
    assert states[0].keys() == states[1].keys()
    assert all(torch.equal(a, b) for a, b in zip(states[0].values(), states[1].values(), strict=True))


@pytest.mark.parametrize("kind", ADDED)
def test_defaults_do_not_name_a_run(kind: Any) -> None:
    """A configuration without the options is the same run."""
    assert ADDED[kind] <= {f.name for f in fields(kind)}
    values = to_dict(kind())
    without = {name: value for name, value in values.items() if name not in ADDED[kind]}
    assert from_dict(kind, without) == kind()
    assert not ADDED[kind] & set(essential(kind()))


def network(seed: int = 0, **changes: Any) -> EnergyNetwork:
    """In float64, with energies of order 1."""
    torch.manual_seed(seed)
    made = EnergyNetwork(replace(NETWORK, spectral_norm=False, **changes), SPEC).double()
    with torch.no_grad():
        for p in made.head.parameters():
            p.mul_(20)
    return made.eval()


def test_projections() -> None:
    """u = f / |f| and u = P f / |P f|; parameters as they follow."""
    x = images().double()
    none, linear = network(projection="none"), network(projection="linear")
    f = none(x)
    torch.testing.assert_close(direction(none, f), f / f.norm(dim=1, keepdim=True), rtol=1e-12, atol=0)
    assert not list(none.projection.parameters())
    (matrix,) = linear.projection.parameters()
    assert matrix.shape == (6, 6)
    p = linear(x) @ matrix.T
    torch.testing.assert_close(direction(linear, linear(x)), p / p.norm(dim=1, keepdim=True), rtol=1e-12, atol=0)


@pytest.mark.parametrize("projection", ["mlp", "linear", "none"])
def test_input_gradient_by_hand_of_every_projection(projection: str) -> None:
    """d(E - u.t)/dx against autograd in float64."""
    made = network(projection=projection)
    with torch.no_grad():
        for p in made.projection.parameters():
            p.mul_(20)
    x = images().double()
    t = torch.randn(5, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(4))
    hand = norm_gradient(FrozenView(made, torch.float64).network, torch.float64, True, SPEC.size)
    assert isinstance(hand, NormGradient)
    expected = Energy(lambda y: norm_energy(made(y)) - (direction(made, made(y)) * t).sum(1)).gradient(x)
    torch.testing.assert_close(hand(x, t), expected, rtol=1e-9, atol=1e-12)


def test_energy_head() -> None:
    """E is the head's output, and no longer tied to the norm of f; the gradient by hand does not know it."""
    made = network(energy="head")
    x = images().double()
    first, activation, last = made.energy_head  # type: ignore[misc]
    f = made(x)
    expected = F.linear(F.leaky_relu(F.linear(f, first.weight, first.bias), 0.2), last.weight, last.bias)[:, 0]
    torch.testing.assert_close(image_energy(made, f), expected, rtol=1e-12, atol=0)
    z = torch.ones(6, dtype=torch.float64)
    cosines = (direction(made, f) * F.normalize(z, dim=0)).sum(1)
    torch.testing.assert_close(joint_energy(made, x, z, 0.3), expected - 0.3 * cosines, rtol=1e-12, atol=0)
    assert norm_gradient(made, torch.float32, True, SPEC.size) is None
    assert norm_gradient(network(), torch.float32, True, SPEC.size) is not None
    assert isinstance(activation, nn.LeakyReLU)


@pytest.mark.parametrize("engine", ["exact", "float32", "bfloat16", "fast"])
@pytest.mark.parametrize("kind", [CLEL, PlainEBM])
def test_chains_descend_the_heads_energy(kind: Any, engine: Any) -> None:
    """Whatever the engine, dE/dx of the chains is that of the method's energy."""
    own = replace(NETWORK, energy="head")
    torch.manual_seed(0)
    if kind is CLEL:
        method: Any = CLEL(replace(CONFIG, network=own, engine=engine), SPEC).eval()
    else:
        method = PlainEBM(PlainConfig(network=own, engine=engine), SPEC).eval()
    with torch.no_grad():
        for layer in (method.network.head, method.network.energy_head):
            for p in layer.parameters():
                p.mul_(20)
    energy, x = method.frozen_energy(), images()
    assert energy.hand is None
    assert energy(x).dtype == torch.float32
    own_gradient, expected = energy.gradient(x), Energy(method.energy).gradient(x)
    assert float(F.cosine_similarity(own_gradient.flatten(), expected.flatten(), dim=0)) > 0.99
    if kind is CLEL:
        t = torch.zeros(5, 6)
        torch.testing.assert_close(GuidedEnergy(energy, t)(x), energy(x))


def test_the_heads_energy_is_what_is_trained() -> None:
    """The divergence, the OOD score and the energy are of the same E; every parameter has a gradient."""
    method = build(Scripted, network=replace(NETWORK, energy="head", spectral_norm=False), alpha=0.7).double()
    x = images().double()
    losses = method.training_step(x, torch.Generator().manual_seed(2))
    positive, negative = method.energy(x), method.energy(method.negatives(torch.Generator()))
    squares = positive.square().mean() + negative.square().mean()
    torch.testing.assert_close(losses["divergence"], positive.mean() - negative.mean() + 0.7 * squares)
    losses["loss"].backward()
    assert all(p.grad is not None and bool(p.grad.isfinite().all()) for p in method.network.parameters())
    torch.testing.assert_close(method.eval().ood_score(x, 0.0), method.energy(x))


def test_a_drawn_negative_is_one_of_p_z_given_x() -> None:
    """z ~ vMF(u(x-), beta) instead of u(x-), from the step's generator; NT-Xent has no other keys."""
    method = build(Scripted, negative_latents="draw", beta=2.0)
    f = torch.randn(5, 6, generator=torch.Generator().manual_seed(8))
    own = method.latent_negatives(f, torch.Generator().manual_seed(5))
    assert own is not None and not own.requires_grad
    expected = draw_latents(direction(method.network, f), 2.0, torch.Generator().manual_seed(5))
    assert torch.equal(own, expected)
    torch.testing.assert_close(own.norm(dim=1), torch.ones(5))
    modes = build(Scripted, beta=2.0).latent_negatives(f, torch.Generator())
    assert modes is not None and torch.equal(modes, direction(method.network, f))
    assert build(generated_negatives=False).latent_negatives(f, torch.Generator()) is None


def test_options_name_runs_of_their_own() -> None:
    others = [
        replace(CONFIG, network=replace(NETWORK, projection="linear")),
        replace(CONFIG, network=replace(NETWORK, projection="none")),
        replace(CONFIG, network=replace(NETWORK, energy="head")),
        replace(CONFIG, negative_latents="draw"),
        replace(CONFIG, objective="byol", generated_negatives=False),
        replace(CONFIG, encoder=EncoderConfig("frozen", hidden=8, features=6, side=32)),
    ]
    assert len({identity(config) for config in (CONFIG, *others)}) == 7


def test_refused() -> None:
    for changes in ({"projection": "Linear"}, {"energy": "heads"}):
        with pytest.raises(ConfigError, match="expected one of"):
            NetworkConfig(**changes)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="must be equal"):
        replace(CONFIG, network=replace(NETWORK, projection="none", features=7))
