"""The frozen Langevin engine against a deliberately naive one: the same chains, in less time.

`make bench` times both in turn and prints the ratio. Seconds are not asserted.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from baselines.plain import PlainConfig, PlainEBM
from clel.chains.energy import Energy
from clel.chains.langevin import BufferConfig, LangevinConfig, langevin
from clel.data import ImageSpec
from clel.methods.spherical_energy import norm_energy
from clel.networks.energy_network import NetworkConfig
from clel.networks.frozen import FrozenView
from tests.benchmarks.switched import Bench, alternate

SPEC = ImageSpec(1, 8, (0.3,), (0.35,))
CHAIN = LangevinConfig(steps=10, step_size=0.5, noise=0.01)


def naive_chain(network: torch.nn.Module, x: Tensor, config: LangevinConfig, generator: torch.Generator) -> Tensor:
    """Langevin dynamics as one would first write it: autograd through the live network, weights included."""
    for _ in range(config.steps):
        x = x.detach().requires_grad_(True)
        f = network(x)
        energy = (0.5 * f**2).sum()
        (gradient,) = torch.autograd.grad(energy, x)
        n = torch.empty_like(x).normal_(generator=generator)
        x = torch.clamp(x - config.step_size * gradient + config.noise * n, 0, 1)
    return x.detach()


def ebm(engine: str = "float32", widths: tuple[int, ...] = (8, 16)) -> PlainEBM:
    torch.manual_seed(0)
    network = NetworkConfig(widths, 1, hidden=64, features=16)
    config = PlainConfig(
        network=network,
        engine=engine,  # type: ignore[arg-type]
        langevin=CHAIN,
        batch_size=16,
        buffer=BufferConfig(16, restart=0.0),
    )
    method = PlainEBM(config, SPEC)
    with torch.no_grad():  # energies and slopes of a trained network's size
        for layer in (0, 2):
            method.network.head[layer].weight.mul_(10)  # type: ignore[index, union-attr]
    return method.eval()


def start(n: int = 16) -> Tensor:
    return torch.rand(n, *SPEC.shape, generator=torch.Generator().manual_seed(0))


def seeded() -> torch.Generator:
    return torch.Generator().manual_seed(1)


def test_chain_equals_the_naive_one() -> None:
    method = ebm()
    frozen = langevin(method.frozen_energy(), start(), CHAIN, seeded())
    naive = naive_chain(method.network, start(), CHAIN, seeded())
    assert float((naive - start()).abs().mean()) > 0.01  # it went somewhere
    torch.testing.assert_close(frozen, naive, rtol=1e-4, atol=1e-5)


def test_chain_equals_the_naive_one_in_float64() -> None:
    """The same computation in float64 leaves no room for more than rounding."""
    network = ebm().network.double()
    view = FrozenView(network, torch.float64).refresh()
    frozen = langevin(Energy(lambda x: norm_energy(view(x))), start().double(), CHAIN, seeded())
    naive = naive_chain(network, start().double(), CHAIN, seeded())
    torch.testing.assert_close(frozen, naive, rtol=1e-11, atol=1e-13)


def test_sampling_and_training_chains_run_on_it() -> None:
    """`sample` and `negatives` are the naive chain from the same draws."""
    method = ebm()
    x = method.sample(4, seeded())
    generator = seeded()
    noise = torch.rand(4, *SPEC.shape, generator=generator)
    torch.testing.assert_close(x, naive_chain(method.network, noise, CHAIN, generator), rtol=1e-4, atol=1e-5)

    method.buffer.chains.copy_(start())
    x = method.negatives(seeded())
    generator = seeded()
    # the draws that `draw` makes before the chain's own: places, restarts, fresh noise
    places = torch.randperm(16, generator=generator)
    torch.rand(16, 1, 1, 1, generator=generator)
    torch.rand(16, *SPEC.shape, generator=generator)
    expected = naive_chain(method.network, start()[places], CHAIN, generator)
    torch.testing.assert_close(x, expected, rtol=1e-4, atol=1e-5)
    assert torch.equal(method.buffer.chains[places], x)


def test_bfloat16_slopes_point_the_same_way() -> None:
    """Rounded to 8 bits the slopes keep their direction, and come back in float32."""
    method, rounded = ebm(), ebm("bfloat16")
    x = start()
    exact, coarse = (m.frozen_energy().gradient(x).flatten(1) for m in (method, rounded))
    assert coarse.dtype == torch.float32
    assert float(torch.nn.functional.cosine_similarity(exact, coarse).min()) > 0.995
    torch.testing.assert_close(coarse.norm(dim=1), exact.norm(dim=1), rtol=0.05, atol=0)
    assert rounded.sample(2, seeded()).dtype == torch.float32


@pytest.mark.cpu
@pytest.mark.parametrize("engine", ["float32", "bfloat16"])
def test_engine_speed(bench: Bench, engine: str) -> None:
    """Ten steps of 16 chains; training mode, where the naive engine makes a power iteration in each step."""
    method, x = ebm(engine, (32, 64)).train(), start()
    calls: dict[str, Callable[[], object]] = {
        "naive": lambda: naive_chain(method.network, x, CHAIN, seeded()),
        "frozen": lambda: langevin(method.frozen_energy(), x, CHAIN, seeded()),
    }
    alternate(bench, calls, 15)
