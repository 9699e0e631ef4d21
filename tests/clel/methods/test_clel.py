"""CLEL's training step against its equations, and the paths that gradients must not take."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.optim import SGD, Adam

from baselines.plain import PlainConfig, PlainEBM
from clel.chains.langevin import BufferConfig, LangevinConfig
from clel.config import ConfigError
from clel.data import ImageSpec
from clel.data.augment import NONE, AugmentConfig
from clel.methods.clel import CLEL, CLELConfig
from clel.networks.encoder import EncoderConfig
from clel.networks.energy_network import NETWORKS, NetworkConfig

SPEC = ImageSpec(1, 8, (0.3,), (0.35,))
NETWORK = NetworkConfig((4, 8), 1, hidden=16, features=6)
VIEWS = AugmentConfig(crop_scale=(0.5, 1.0), jitter=(0.4, 0.4, 0.0, 0.0), jitter_probability=0.8)
CONFIG = CLELConfig(
    engine="float32",  # fast is held to it in test_engine
    network=NETWORK,
    encoder=EncoderConfig("tiny", width=4, hidden=8, features=6),
    langevin=LangevinConfig(steps=3, step_size=1.0, noise=0.01),
    buffer=BufferConfig(20, restart=0.5),
    batch_size=5,
    contrastive_batch_size=5,
    views=VIEWS,
)


def build(kind: type[CLEL] = CLEL, **changes: Any) -> CLEL:
    """The same weights and chains for every configuration."""
    torch.manual_seed(0)
    method = kind(replace(CONFIG, **changes), SPEC)
    method.reset_chains(torch.Generator().manual_seed(0))
    with torch.no_grad():  # energies of order 1
        for layer in (0, 2):
            method.network.head[layer].weight.mul_(20)  # type: ignore[operator]
    return method.train()


def images(n: int = 5) -> Tensor:
    return torch.rand(n, *SPEC.shape, generator=torch.Generator().manual_seed(1))


def step(method: CLEL, n: int = 5, backward: bool = True) -> dict[str, Tensor]:
    method.zero_grad()
    losses = method.training_step(images(n), torch.Generator().manual_seed(2))
    if backward:
        losses["loss"].backward()
    return losses


def gradients(module: nn.Module) -> dict[str, Tensor | None]:
    return {name: p.grad for name, p in module.named_parameters()}


def equal(a: dict[str, Tensor | None], b: dict[str, Tensor | None]) -> bool:
    return a.keys() == b.keys() and all(
        (x is None and y is None) or (x is not None and y is not None and torch.equal(x, y))
        for x, y in zip(a.values(), b.values(), strict=True)
    )


class Scripted(CLEL):
    """CLEL with given x-, to be followed by hand."""

    def negatives(self, generator: torch.Generator) -> Tensor:
        return torch.rand(5, *SPEC.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(3))


def unit(v: np.ndarray) -> np.ndarray:
    return v / np.sqrt((v * v).sum())


@pytest.mark.parametrize("contrastive_batch", [5, 12])
@pytest.mark.parametrize("generated", [True, False])
@pytest.mark.parametrize("beta", [0.01, 3.0])
def test_losses_by_hand(contrastive_batch: int, generated: bool, beta: float) -> None:
    """Every term by loops over images, from f, g(f) and h; the EBM takes the first 5 of a larger contrastive batch."""
    method = build(
        Scripted,
        views=NONE,
        beta=beta,
        alpha=0.7,
        generated_negatives=generated,
        contrastive_batch_size=contrastive_batch,
        network=replace(NETWORK, spectral_norm=False),
    ).double()
    x = images(contrastive_batch).double()
    losses = method.training_step(x, torch.Generator().manual_seed(2))

    with torch.no_grad():
        f_positive = method.network(x[:5]).numpy()
        f_negative = method.network(method.negatives(torch.Generator())).numpy()
        g_positive = method.network.projection(torch.from_numpy(f_positive)).numpy()
        g_negative = method.network.projection(torch.from_numpy(f_negative)).numpy()
        # in training mode batch norm sees the batch: the first 5 for the guidance, both views for the contrastive loss
        h_guidance = method.encoder(x[:5]).numpy()
        h_views = method.encoder(torch.cat([x, x])).numpy()

    divergence = agreement = positive = negative = 0.0
    for i in range(5):
        e_positive, e_negative = 0.5 * (f_positive[i] ** 2).sum(), 0.5 * (f_negative[i] ** 2).sum()
        divergence += (e_positive - e_negative + 0.7 * (e_positive**2 + e_negative**2)) / 5
        agreement += (unit(g_positive[i]) * unit(h_guidance[i])).sum() / 5
        positive, negative = positive + e_positive / 5, negative + e_negative / 5
    n = contrastive_batch
    contrastive = 0.0
    for i in range(2 * n):
        keys = [h_views[j] for j in range(2 * n) if j != i] + ([*g_negative] if generated else [])
        total = sum(math.exp((unit(h_views[i]) * unit(k)).sum() / 0.2) for k in keys)
        own = math.exp((unit(h_views[i]) * unit(h_views[(i + n) % (2 * n)])).sum() / 0.2)
        contrastive -= math.log(own / total) / (2 * n)

    expected = {
        "divergence": divergence,
        "energy_positive": positive,
        "energy_negative": negative,
        "agreement": agreement,
        "contrastive": contrastive,
        "loss": divergence - beta * agreement + contrastive,
    }
    assert losses.keys() == expected.keys()
    for name, value in expected.items():
        assert float(losses[name].detach()) == pytest.approx(value, rel=1e-9, abs=1e-12), name
        assert losses[name].requires_grad == (name in ("loss", "divergence"))


def test_guidance_does_not_train_the_encoder() -> None:
    """Its gradient is the same for any beta."""
    results = []
    for beta in (0.0, 0.01, 50.0):
        method = build(beta=beta)
        step(method)
        results.append((gradients(method.encoder), gradients(method.network)))
    assert equal(results[0][0], results[1][0]) and equal(results[0][0], results[2][0])
    assert not equal(results[0][1], results[2][1])


def test_contrastive_loss_does_not_train_the_energy() -> None:
    """The energy network's gradient is the same for any temperature and without generated negatives."""
    results = []
    for changes in ({}, {"temperature": 0.7}, {"generated_negatives": False}):
        method = build(**changes)
        losses = step(method)
        results.append((gradients(method.network), gradients(method.encoder), float(losses["contrastive"])))
    for other in results[1:]:
        assert equal(results[0][0], other[0])
        assert not equal(results[0][1], other[1])
        assert results[0][2] != other[2]


def test_beta_zero_is_the_plain_ebm() -> None:
    """Same weights, chains and draws: the energy network's gradient and energies are the plain EBM's."""
    method = build(beta=0.0)
    plain = PlainEBM(
        PlainConfig(
            network=NETWORK, langevin=CONFIG.langevin, buffer=CONFIG.buffer, batch_size=5, engine=CONFIG.engine
        ),
        SPEC,
    ).train()
    plain.network.load_state_dict(method.network.state_dict())
    plain.reset_chains(torch.Generator().manual_seed(0))
    losses = step(method)
    plain_losses = plain.training_step(images(), torch.Generator().manual_seed(2))
    plain_losses["loss"].backward()
    for name in ("divergence", "energy_positive", "energy_negative"):
        assert torch.equal(losses[name], plain_losses[name])
    for name, p in plain.network.named_parameters():
        own = method.network.get_parameter(name).grad
        if name.startswith("projection."):
            assert p.grad is None and own is not None and float(own.abs().max()) == 0
        else:
            assert p.grad is not None and own is not None
            torch.testing.assert_close(own, p.grad, rtol=1e-6, atol=1e-9)
    assert torch.equal(method.buffer.chains, plain.buffer.chains)


def test_guidance_is_a_unit_vector_without_gradient() -> None:
    z = build().guidance(images())
    assert z.shape == (5, 6) and not z.requires_grad
    torch.testing.assert_close(z.norm(dim=1), torch.ones(5))


def norms(method: CLEL) -> list[nn.Module]:
    return [m for m in method.encoder.modules() if isinstance(m, nn.BatchNorm1d | nn.BatchNorm2d)]


@pytest.mark.parametrize(("statistics", "updates"), [(True, 2), (False, 1)])
def test_guidance_statistics(statistics: bool, updates: int) -> None:
    """Batch norm's running statistics move twice an iteration as in the authors' code, or once; losses are the same."""
    method, other = build(guidance_statistics=statistics), build(guidance_statistics=not statistics)
    losses, other_losses = step(method), step(other)
    assert [int(m.num_batches_tracked) for m in norms(method)] == [updates] * 5  # type: ignore[arg-type]
    assert all(torch.equal(losses[name], other_losses[name]) for name in losses)
    before = {name: value.clone() for name, value in method.encoder.state_dict().items()}
    method.guidance(images())
    after = method.encoder.state_dict()
    assert list(after) == list(before)
    moved = [name for name in before if not torch.equal(before[name], after[name])]
    assert len(moved) == (15 if statistics else 0)


def test_views_and_guidance_are_drawn_separately() -> None:
    """Three augmentations an iteration: t(x+), and two views of the contrastive batch, none like another."""
    seen: list[Tensor] = []
    method = build(contrastive_batch_size=9)
    method.encoder.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0].clone()))
    step(method, 9)
    guidance, views = seen
    assert guidance.shape[0] == 5 and views.shape[0] == 18
    assert not torch.equal(views[:9], views[9:])
    assert not torch.equal(guidance, views[:5]) and not torch.equal(guidance, views[9:14])


def test_images_per_step() -> None:
    """CLEL-Large: 64 chains and positives, 256 images of the contrastive loss."""
    large = CLEL.recipe("large").config
    assert (large.batch_size, large.contrastive_batch_size, large.network) == (64, 256, NETWORKS["large"])
    assert build(contrastive_batch_size=9).images_per_step == 9
    assert CLEL.recipe("multiscale").config.contrastive_batch_size == 64


def test_too_few_images_are_not_mixed_up() -> None:
    """Fewer images than the batch must not pass negatives off as positives."""
    with pytest.raises((ConfigError, ValueError, RuntimeError)):
        build().training_step(images(3), torch.Generator().manual_seed(2))


def test_chains_go_back_to_the_buffer() -> None:
    method = build()
    before = method.buffer.chains.clone()
    step(method)
    changed = (method.buffer.chains != before).flatten(1).any(1)
    assert int(changed.sum()) == 5


@pytest.mark.parametrize("beta", [0.0, 0.1, 2.0])
def test_ood_score(beta: float) -> None:
    """s(x) = E(x) - beta cos(g(f(x)), h(x)): with beta 0 the energy; the encoder sees the image itself."""
    method = build().eval()
    x = images()
    with torch.no_grad():
        score, f, h = method.ood_score(x, beta), method.network(x), method.encoder(x)
        g = method.network.projection(f)
    for i in range(5):
        cosine = (unit(g[i].double().numpy()) * unit(h[i].double().numpy())).sum()
        assert float(score[i]) == pytest.approx(0.5 * float(f[i].double().square().sum()) - beta * cosine, rel=1e-5)


def test_optimisers() -> None:
    """Adam for f and g with warm-up, SGD with a cosine for h (Appendix B); every parameter in one of them."""
    method = build(warmup=4)
    (adam, warmup), (sgd, cosine) = method.optimisers(10)
    assert isinstance(adam, Adam) and isinstance(sgd, SGD)
    (group,) = adam.param_groups
    assert (group["betas"], group["weight_decay"]) == ((0.0, 0.999), 0)
    assert {id(p) for p in group["params"]} == {id(p) for p in method.network.parameters()}
    (group,) = sgd.param_groups
    assert (group["momentum"], group["weight_decay"], group["nesterov"]) == (0.9, 5e-4, False)
    assert {id(p) for p in group["params"]} == {id(p) for p in method.encoder.parameters()}
    rates: list[tuple[float, float]] = []
    for _ in range(10):
        rates.append((adam.param_groups[0]["lr"], sgd.param_groups[0]["lr"]))
        adam.step()
        sgd.step()
        warmup.step()
        cosine.step()
    for t, (a, s) in enumerate(rates):
        assert a == pytest.approx(1e-4 * min(1, (t + 1) / 4))
        assert s == pytest.approx(0.03 * 0.5 * (1 + math.cos(math.pi * t / 10)))
    assert sgd.param_groups[0]["lr"] == pytest.approx(0, abs=1e-12)


def test_published_defaults() -> None:
    """CLEL-Base (Appendix B and the authors' configuration)."""
    c = CLELConfig()
    assert (c.alpha, c.beta, c.temperature, c.batch_size, c.lr, c.betas) == (1, 0.01, 0.2, 64, 1e-4, (0.0, 0.999))
    assert c.langevin == LangevinConfig(60, 100.0, 0.001, None, False)
    assert (c.buffer.size, c.buffer.restart) == (10_000, 0.001)
    assert (c.encoder_lr, c.encoder_momentum, c.encoder_weight_decay, c.warmup) == (0.03, 0.9, 5e-4, 2000)
    train = CLEL.recipe("paper").train
    assert (train.iterations, train.ema_half_life) == (100_000, 20_000)


@pytest.mark.parametrize(
    "changes",
    [
        {"encoder": EncoderConfig("tiny", features=7)},
        {"contrastive_batch_size": 4},
        {"temperature": 0.0},
        {"beta": -0.1},
        {"batch_size": 21, "contrastive_batch_size": 30},
        {"alpha": -1.0},
        {"lr": 0.0},
    ],
)
def test_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        replace(CONFIG, **changes)
