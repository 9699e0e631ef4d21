"""The exponential moving average by images, and swapping it in and out without a trace."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from clel.data import ImageSpec
from clel.networks.energy_network import EnergyNetwork, NetworkConfig
from clel.training.average import Average, refresh_parametrizations

SPEC = ImageSpec(1, 8, (0.5,), (0.25,))


def network(seed: int = 0) -> EnergyNetwork:
    torch.manual_seed(seed)
    return EnergyNetwork(NetworkConfig((4, 8), 1, hidden=8, features=4), SPEC).double()


class Model(nn.Module):
    """Spectral norm, batch norm, and a large buffer of state that is not a weight."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        self.network = network(seed)
        self.norm = nn.BatchNorm1d(4).double()
        self.register_buffer("chains", torch.rand(3, 2))
        self.train()
        self.norm.eval()  # modes differ between the parts


def state(module: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in module.state_dict().items()}


def same(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def test_half_life() -> None:
    """A constant target is approached by half in one half-life of images, however many updates that takes."""
    for batch in (1, 10, 50):
        module = nn.Linear(1, 1, bias=False).double()
        average = Average(module, half_life=100.0)
        average.shadow["weight"].fill_(1.0)
        with torch.no_grad():
            module.weight.fill_(3.0)
        for k in range(100 // batch):
            average.update(module, batch, 1000 + k * batch)
        assert float(average.shadow["weight"]) == pytest.approx(2.0, rel=1e-12)


def test_formula() -> None:
    """theta <- d theta + (1 - d) theta_live with d = 0.5^(batch / half-life), by hand in floats."""
    module = nn.Linear(1, 1, bias=False).double()
    average = Average(module, half_life=30.0)
    by_hand, seen = None, 0
    for k in range(40):
        with torch.no_grad():
            module.weight.fill_(float((k * 7919) % 13))
        seen += 4
        average.update(module, 4, seen)
        d = 0.0 if seen <= 30 else 0.5 ** (4 / 30)
        live = float((k * 7919) % 13)
        by_hand = live if by_hand is None else d * by_hand + (1 - d) * live
        assert float(average.shadow["weight"]) == pytest.approx(by_hand, rel=1e-12)


def test_authors_decay() -> None:
    """Batch 64, half-life 20,000: a copy for 312 iterations, then 0.997784 an iteration."""
    average = Average(nn.Linear(1, 1), 20_000.0)
    assert average.decay(64, 312 * 64) == 0
    assert average.decay(64, 313 * 64) == pytest.approx(0.997784, abs=5e-7)


def test_copy_until_one_half_life() -> None:
    module = network()
    average = Average(module, half_life=1000.0)
    with torch.no_grad():
        for p in module.parameters():
            p.add_(torch.randn_like(p))
    average.update(module, 64, 1000)
    assert all(torch.equal(average.shadow[n], p) for n, p in module.named_parameters())


def test_zero_half_life_is_no_average() -> None:
    module = network()
    average = Average(module, half_life=0.0)
    with torch.no_grad():
        for p in module.parameters():
            p.add_(1)
    average.update(module, 64, 10**9)
    assert all(torch.equal(average.shadow[n], p) for n, p in module.named_parameters())


def test_buffers_are_not_averaged() -> None:
    model = Model()
    average = Average(model, 10.0)
    assert set(average.state_dict()) == {name for name, _ in model.named_parameters()}
    with torch.no_grad():
        model.norm.running_mean.fill_(7)  # type: ignore[union-attr, operator]
        model.chains.fill_(0.5)  # type: ignore[operator, union-attr]
    average.update(model, 5, 100)
    with average.swapped_in(model):
        assert bool((model.norm.running_mean == 7).all())  # type: ignore[union-attr, operator]
        assert bool((model.chains == 0.5).all())  # type: ignore[union-attr, operator]


@pytest.mark.parametrize("failing", [False, True])
def test_swapped_in_restores_everything(failing: bool) -> None:
    """Parameters, buffers (u and v among them), gradients and modes: bit for bit, also when the body raises."""
    model = Model()
    average = Average(model, 10.0)
    for value in average.shadow.values():
        value.add_(torch.randn_like(value))
    norm = model.network(torch.rand(2, 1, 8, 8, dtype=torch.float64)).sum()
    norm.backward()
    before, modes = state(model), {name: m.training for name, m in model.named_modules()}
    gradients = {name: p.grad for name, p in model.named_parameters()}
    shadow = {name: value.clone() for name, value in average.shadow.items()}
    identities = [id(p) for p in model.parameters()]

    def body() -> None:
        assert not any(m.training for m in model.modules())
        for name, p in model.named_parameters():
            assert torch.equal(p, shadow[name])
        model.network(torch.rand(2, 1, 8, 8, dtype=torch.float64))
        if failing:
            raise RuntimeError("interrupted")

    if failing:
        with pytest.raises(RuntimeError, match="interrupted"), average.swapped_in(model):
            body()
    else:
        with average.swapped_in(model):
            body()
    assert same(state(model), before)
    assert {name: m.training for name, m in model.named_modules()} == modes
    assert all(p.grad is gradients[name] for name, p in model.named_parameters())
    assert [id(p) for p in model.parameters()] == identities
    assert same(average.state_dict(), shadow)


def convolutions(module: nn.Module) -> list[nn.Conv2d]:
    return [m for m in module.modules() if isinstance(m, nn.Conv2d)]


def largest(weight: Tensor) -> float:
    return float(torch.linalg.matrix_norm(weight.detach().flatten(1), 2))


def test_spectral_norm_of_the_averaged_weights() -> None:
    """Inside, each convolution has norm 1 for the averaged weights; with the live u and v it would exceed it."""
    live, other = network(0), network(1)
    average = Average(live, 10.0)
    for name, p in other.named_parameters():
        average.shadow[name].copy_(p.detach())
    stale = copy.deepcopy(live).eval()
    for name, p in stale.named_parameters():
        p.data.copy_(average.shadow[name])
    with average.swapped_in(live):
        inside = [largest(m.weight) for m in convolutions(live)]
    # 20 power iterations for weights that share nothing with the live ones; from below, so never above 1 + gap
    assert max(abs(value - 1) for value in inside) < 0.05
    assert max(largest(m.weight) for m in convolutions(stale)) > 1.3


def test_refresh_settles_spectral_norm() -> None:
    module = network().eval()
    with torch.no_grad():
        for m in convolutions(module):
            m.parametrizations.weight.original.normal_()  # type: ignore[union-attr, operator]
    refresh_parametrizations(module, 300)
    assert max(abs(largest(m.weight) - 1) for m in convolutions(module)) < 1e-3


def test_state_round_trip() -> None:
    module, other = network(0), network(1)
    average, second = Average(module, 10.0), Average(other, 10.0)
    kept = {name: value.clone() for name, value in average.state_dict().items()}
    second.load_state_dict(kept)
    assert same(second.state_dict(), average.state_dict())
    # a copy: later updates do not write into the loaded state
    second.update(other, 1, 1)
    assert same(kept, average.state_dict())


def test_the_shadow_is_a_copy() -> None:
    module = network()
    average = Average(module, 10.0)
    before = {name: value.clone() for name, value in average.shadow.items()}
    with torch.no_grad():
        for p in module.parameters():
            p.zero_()
    assert same(average.shadow, before)
