"""The frozen sampling view: the live network's values exactly, and nothing of the live network disturbed."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from clel.data import ImageSpec
from clel.methods.spherical_energy import direction, norm_energy
from clel.networks.energy_network import EnergyNetwork, NetworkConfig
from clel.networks.frozen import FrozenView

SPEC = ImageSpec(3, 8, (0.5, 0.4, 0.3), (0.25, 0.2, 0.3))


@pytest.fixture
def network() -> EnergyNetwork:
    torch.manual_seed(0)
    network = EnergyNetwork(NetworkConfig((4, 8), 1, towers=2, hidden=16, features=4), SPEC)
    with torch.no_grad():
        for p in network.parameters():
            p.mul_(5)
    return network


@pytest.fixture
def x() -> Tensor:
    return torch.rand(3, 3, 8, 8, generator=torch.Generator().manual_seed(0))


def state(network: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in network.state_dict().items()}


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_equals_the_live_network(network: EnergyNetwork, x: Tensor, dtype: torch.dtype, channels_last: bool) -> None:
    """In evaluation mode weights are bit for bit the parametrised ones, features the same up to convolution order."""
    network = network.to(dtype).eval()
    view = FrozenView(network, dtype, channels_last).refresh()
    live = dict(network.named_modules())
    for name, module in view.named_modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            assert torch.equal(module.weight, live[name].weight)  # type: ignore[arg-type]
    with torch.no_grad():
        tolerance = 1e-12 if dtype == torch.float64 else 1e-5
        torch.testing.assert_close(view(x.to(dtype)), network(x.to(dtype)), rtol=tolerance, atol=tolerance)
        if not channels_last:
            assert torch.equal(view(x.to(dtype)), network(x.to(dtype)))
            f = network(x.to(dtype))
            assert torch.equal(direction(view, f), direction(network, f))  # type: ignore[arg-type]


def test_input_gradients_agree(network: EnergyNetwork, x: Tensor) -> None:
    network = network.double().eval()
    gradients = []
    for f in (network, FrozenView(network, torch.float64).refresh()):
        y = x.double().requires_grad_(True)
        norm_energy(f(y)).sum().backward()
        gradients.append(y.grad)
    torch.testing.assert_close(*gradients, rtol=1e-11, atol=1e-14)


def test_folded_weights_have_norm_one(network: EnergyNetwork) -> None:
    """Refreshed often enough in training mode, the folded convolutions have largest singular value 1."""
    network = network.double().train()
    frozen = FrozenView(network, torch.float64)
    for _ in range(300):
        view = frozen.refresh()
    linear = dict(network.named_modules())
    for name, module in view.named_modules():
        if isinstance(module, nn.Conv2d):
            assert not parametrize.is_parametrized(module)
            assert float(torch.linalg.matrix_norm(module.weight.flatten(1), 2)) == pytest.approx(1, abs=1e-3)
        if isinstance(module, nn.Linear):
            assert torch.equal(module.weight, linear[name].weight)  # type: ignore[arg-type]


def test_one_power_iteration_a_refresh(network: EnergyNetwork) -> None:
    """In training mode a refresh moves u and v as one access to each weight does; in evaluation mode it does not."""
    twin = copy.deepcopy(network).train()
    frozen = FrozenView(network.train())
    frozen.refresh()
    with torch.no_grad():
        for module in twin.modules():
            if parametrize.is_parametrized(module):
                _ = module.weight
    expected = state(twin)
    assert all(torch.equal(value, expected[name]) for name, value in state(network).items())
    network.eval()
    frozen.refresh()
    assert all(torch.equal(value, expected[name]) for name, value in state(network).items())


def test_the_original_is_not_touched(network: EnergyNetwork, x: Tensor) -> None:
    """Keys, values, modes, parametrisations and training all stay as they were."""
    before, modes = state(network), [m.training for m in network.modules()]
    view = FrozenView(network).network
    after = state(network)
    assert list(after) == list(before)
    assert all(torch.equal(after[name], before[name]) for name in before)
    assert [m.training for m in network.modules()] == modes
    assert sum(parametrize.is_parametrized(m) for m in network.modules()) == 12
    assert all(p.requires_grad for p in network.parameters())
    optimiser = torch.optim.SGD(network.parameters(), lr=0.1)
    norm_energy(network(x)).sum().backward()
    optimiser.step()
    assert not torch.equal(network.state_dict()["head.0.weight"], before["head.0.weight"])
    # the two are separate: the view still has the old weights
    assert torch.equal(view.head[0].weight, before["head.0.weight"])  # type: ignore[union-attr, index]
    # a second deep copy of the original works too
    torch.testing.assert_close(copy.deepcopy(network).eval()(x), network.eval()(x))


def test_refresh_follows_the_weights_without_gradients(network: EnergyNetwork, x: Tensor) -> None:
    frozen = FrozenView(network.eval())
    first = frozen.refresh()
    places = [p.data_ptr() for p in first.parameters()]
    with torch.no_grad():
        for p in network.parameters():
            p.add_(0.1)
    second = frozen.refresh()
    assert second is first and [p.data_ptr() for p in second.parameters()] == places
    torch.testing.assert_close(second(x), network(x), rtol=1e-5, atol=1e-5)
    assert not any(p.requires_grad for p in second.parameters())
    y = x.clone().requires_grad_(True)
    norm_energy(second(y)).sum().backward()
    assert all(p.grad is None for p in (*second.parameters(), *network.parameters()))
    assert not second.training


def test_weight_norm_and_batch_norm(x: Tensor) -> None:
    """Any parametrisation is folded, and buffers follow the original."""
    torch.manual_seed(0)
    conv = nn.utils.parametrizations.weight_norm(nn.Conv2d(3, 4, 3))
    network = nn.Sequential(conv, nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(144, 2))
    network.train()
    frozen = FrozenView(network)
    network(x)  # moves the running statistics
    network.eval()
    torch.testing.assert_close(frozen.refresh()(x), network(x), rtol=1e-5, atol=1e-6)


def test_a_parametrised_network_itself(x: Tensor) -> None:
    network = nn.utils.parametrizations.spectral_norm(nn.Conv2d(3, 2, 3)).eval()
    view = FrozenView(network).refresh()
    assert type(view) is nn.Conv2d
    torch.testing.assert_close(view(x), network(x))


def test_children_of_a_parametrised_module_are_kept() -> None:
    """A module with a parametrised tensor of its own and submodules beside it."""

    class Scaled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.randn(3, 3))
            self.inner = nn.Linear(3, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.inner(x @ self.weight)

    torch.manual_seed(0)
    network = nn.utils.parametrizations.spectral_norm(Scaled()).eval()
    x = torch.randn(2, 3)
    torch.testing.assert_close(FrozenView(network).refresh()(x), network(x))


def test_modules_are_looked_up_once_and_tensors_at_each_refresh(
    network: EnergyNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    frozen = FrozenView(network.eval())
    live = dict(network.named_modules())
    before = {name: value.clone() for name, value in frozen.refresh().named_parameters()}
    monkeypatch.setattr(nn.Module, "get_submodule", None)
    with torch.no_grad():
        for p in network.parameters():
            p.add_(torch.linspace(0, 1, p.numel()).reshape(p.shape))
    frozen.refresh()
    for path, value in frozen.network.named_parameters():
        module, _, name = path.rpartition(".")
        assert torch.equal(value, getattr(live[module], name)) and not torch.equal(value, before[path])


def test_a_deep_copy_follows_its_own_original(network: EnergyNetwork, x: Tensor) -> None:
    frozen = FrozenView(network.eval())
    twin = copy.deepcopy(frozen)
    with torch.no_grad():
        for p in network.parameters():
            p.add_(0.1)
    assert twin.original is not network
    torch.testing.assert_close(twin.refresh()(x), twin.original(x))
    assert not torch.allclose(twin.refresh()(x), frozen.refresh()(x))
