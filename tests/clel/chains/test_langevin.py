"""Langevin dynamics on energies whose chains are known exactly, and the replay buffer."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom
from torch import Tensor, nn

from clel.chains.energy import Energy
from clel.chains.langevin import BufferConfig, LangevinConfig, ReplayBuffer, langevin
from clel.config import ConfigError
from clel.data.augment import AugmentConfig


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


STIFFNESS = torch.tensor([1.0, 2.0, 5.0, 8.0], dtype=torch.float64).view(1, 1, 2, 2)
CENTRE = torch.tensor([0.4, 0.5, 0.6, 0.45], dtype=torch.float64).view(1, 1, 2, 2)


def gaussian(x: Tensor) -> Tensor:
    """E = 1/2 sum k (x - m)^2, a Gaussian around m in each pixel."""
    return 0.5 * (STIFFNESS * (x - CENTRE).square()).sum((1, 2, 3))


def cubic(x: Tensor) -> Tensor:
    return (x**3 - 0.9 * x**2).sum((1, 2, 3))


def cubic_slope(x: np.ndarray) -> np.ndarray:
    return 3 * x**2 - 1.8 * x


def start(n: int = 3, seed: int = 0) -> Tensor:
    return torch.rand(n, 1, 2, 2, dtype=torch.float64, generator=seeded(seed))


@pytest.mark.parametrize("noise_first", [False, True])
@pytest.mark.parametrize("steps", [3, 100])
def test_gaussian_moments(steps: int, noise_first: bool) -> None:
    """The chain x' = x - s k (x - m) + sigma n is autoregressive with a = 1 - s k, and its moments are known:

    mean after t steps m + a^t (x0 - m); variance sigma^2 (1 - a^2t) / (1 - a^2). With the noise before the gradient it
    is x' = m + a (x + sigma n - m), whose variance is a^2 times that. The clamp is many deviations away.
    """
    n, s, sigma = 6000, 0.1, 0.02
    x0 = torch.full((n, 1, 2, 2), 0.5, dtype=torch.float64)
    config = LangevinConfig(steps, step_size=s, noise=sigma, noise_first=noise_first)
    x = langevin(Energy(gaussian), x0, config, seeded()).numpy().reshape(n, 4)
    a = 1 - s * STIFFNESS.numpy().ravel()
    m = CENTRE.numpy().ravel()
    mean = m + a**steps * (0.5 - m)
    variance = sigma**2 * (1 - a ** (2 * steps)) / (1 - a**2) * (a**2 if noise_first else 1)
    np.testing.assert_array_less(np.abs(x.mean(0) - mean), 4.5 * np.sqrt(variance / n))
    # the sample variance of a normal variable has relative standard deviation sqrt(2 / n)
    np.testing.assert_array_less(np.abs(x.var(0) / variance - 1), 4.5 * math.sqrt(2 / n))


@settings(max_examples=20, deadline=None)
@given(steps=st.integers(0, 12), step_size=st.floats(1e-6, 0.5), noise_first=st.booleans(), seed=st.integers(0, 2**31))
def test_without_noise_it_is_gradient_descent(steps: int, step_size: float, noise_first: bool, seed: int) -> None:
    x0 = start(seed=seed)
    config = LangevinConfig(steps, step_size=step_size, noise=0.0, noise_first=noise_first)
    expected = x0.numpy()
    for _ in range(steps):
        expected = np.clip(expected - step_size * cubic_slope(expected), 0, 1)
    np.testing.assert_allclose(langevin(Energy(cubic), x0, config, seeded()), expected, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("noise_first", [False, True])
def test_where_the_noise_goes(noise_first: bool) -> None:
    """One step with the same draws: the gradient is taken at x, or at the noisy point."""
    x0, s, sigma = start(), 0.05, 0.1
    n = torch.empty_like(x0).normal_(generator=seeded(3)).numpy()
    x = x0.numpy()
    noisy = x + sigma * n
    expected = noisy - s * cubic_slope(noisy if noise_first else x)
    config = LangevinConfig(1, step_size=s, noise=sigma, noise_first=noise_first)
    np.testing.assert_allclose(langevin(Energy(cubic), x0, config, seeded(3)), np.clip(expected, 0, 1), rtol=1e-12)


def test_gradient_clip() -> None:
    """Each pixel's slope is cut to [-c, c] before the step size multiplies it."""
    x0, slope = start(), torch.tensor([-3.0, -0.2, 0.1, 7.0], dtype=torch.float64).view(1, 1, 2, 2)
    config = LangevinConfig(1, step_size=0.1, noise=0.0, gradient_clip=0.5)
    x = langevin(Energy(lambda x: (slope * x).sum((1, 2, 3))), x0, config, seeded())
    cut = np.array([-0.5, -0.2, 0.1, 0.5]).reshape(1, 1, 2, 2)
    np.testing.assert_allclose(x, np.clip(x0.numpy() - 0.1 * cut, 0, 1), rtol=1e-12)


@pytest.mark.parametrize("noise_first", [False, True])
def test_states_stay_in_the_unit_cube(noise_first: bool) -> None:
    seen: list[Tensor] = []
    config = LangevinConfig(20, step_size=5.0, noise=0.5, noise_first=noise_first)
    langevin(Energy(cubic), start(16), config, seeded(), on_step=lambda k, x: seen.append(x.clone()))
    states = torch.stack(seen)
    assert float(states.min()) == 0 and float(states.max()) == 1


def test_input_is_left_alone() -> None:
    x0 = start().requires_grad_(True)
    before = x0.detach().clone()
    x = langevin(Energy(gaussian), x0, LangevinConfig(5, step_size=0.1, noise=0.1), seeded())
    assert torch.equal(x0.detach(), before) and x0.grad is None
    assert not x.requires_grad and x.data_ptr() != x0.data_ptr()


def test_steps_override_and_zero_steps() -> None:
    config = LangevinConfig(5, step_size=0.1, noise=0.05)
    five = langevin(Energy(gaussian), start(), config, seeded())
    assert torch.equal(langevin(Energy(gaussian), start(), LangevinConfig(9, 0.1, 0.05), seeded(), steps=5), five)
    assert torch.equal(langevin(Energy(gaussian), start(), config, seeded(), steps=0), start())


def test_same_generator_same_chain() -> None:
    config = LangevinConfig(5, step_size=0.1, noise=0.05)
    first, second, other = (langevin(Energy(gaussian), start(), config, seeded(s)) for s in (0, 0, 1))
    assert torch.equal(first, second)
    assert not torch.equal(first, other)


def test_on_step() -> None:
    """Called with 1, 2, ... and the state after each step; the last is the result."""
    seen: list[tuple[int, Tensor]] = []
    config = LangevinConfig(4, step_size=0.1, noise=0.05)
    x = langevin(Energy(gaussian), start(), config, seeded(), on_step=lambda k, x: seen.append((k, x.clone())))
    assert [k for k, _ in seen] == [1, 2, 3, 4]
    assert torch.equal(seen[-1][1], x)
    assert torch.equal(seen[1][1], langevin(Energy(gaussian), start(), config, seeded(), steps=2))


def test_input_gradient_is_per_image_and_spares_the_weights() -> None:
    layer = nn.Linear(4, 1).double()

    def energy(x: Tensor) -> Tensor:
        return layer(x.flatten(1)).squeeze(1).square()

    x = start()
    with torch.no_grad():  # the gradient is wanted wherever the caller stands
        gradient = Energy(energy).gradient(x)
        for image, g in zip(x, gradient, strict=True):
            expected = 2 * layer(image.flatten()) * layer.weight
            torch.testing.assert_close(g.flatten(), expected.flatten())
    assert all(p.grad is None for p in layer.parameters())


@pytest.mark.parametrize("values", [{"steps": -1}, {"noise": -0.1}, {"step_size": -1.0}, {"gradient_clip": -0.01}])
def test_langevin_refused(values: dict[str, float]) -> None:
    with pytest.raises(ConfigError):
        LangevinConfig(**values)  # type: ignore[arg-type]


def numbered(size: int, restart: float = 0.0, augmentation: AugmentConfig | None = None) -> ReplayBuffer:
    """A buffer whose chain i is filled with the value i + 1, outside [0, 1), so that fresh noise is told apart."""
    config = BufferConfig(size, restart, augmentation or AugmentConfig())
    buffer = ReplayBuffer(config, (1, 2, 2))
    buffer.chains.copy_(torch.arange(1.0, size + 1).view(-1, 1, 1, 1))
    return buffer


def is_fresh(x: Tensor, places: Tensor) -> Tensor:
    """Which of the chains drawn from a `numbered` buffer do not show their number, [n]."""
    return (x != (places + 1.0).view(-1, 1, 1, 1)).flatten(1).all(1)


@pytest.mark.parametrize("restart", [0.001, 0.05, 0.5])
def test_restart_rate(restart: float) -> None:
    """The number of restarts lies in its binomial interval (probability 1 - 1e-6), and they are uniform noise."""
    buffer, generator = numbered(100, restart), seeded()
    draws, fresh = 400, []
    for _ in range(draws):
        x, places = buffer.draw(50, generator)
        fresh.append(x[is_fresh(x, places)])
    noise = torch.cat(fresh)
    low, high = binom.interval(1 - 1e-6, 50 * draws, restart)
    assert low <= len(noise) <= high
    assert 0 <= float(noise.min()) and float(noise.max()) < 1
    if restart == 0.5:
        # mean 1/2 and variance 1/12 of U[0, 1)
        count = noise.numel()
        assert float(noise.mean()) == pytest.approx(0.5, abs=5 * math.sqrt(1 / 12 / count))
        assert float(noise.var()) == pytest.approx(1 / 12, abs=5 * math.sqrt(1 / 180 / count))


@pytest.mark.parametrize(("restart", "fresh"), [(0.0, 0), (1.0, 20)])
def test_restart_never_and_always(restart: float, fresh: int) -> None:
    x, places = numbered(20, restart).draw(20, seeded())
    assert int(is_fresh(x, places).sum()) == fresh


@settings(max_examples=20, deadline=None)
@given(size=st.integers(1, 30), data=st.data())
def test_drawn_chains_are_distinct(size: int, data: st.DataObject) -> None:
    n = data.draw(st.integers(1, size))
    x, places = numbered(size).draw(n, seeded(data.draw(st.integers(0, 1000))))
    assert places.dtype == torch.int64 and len(set(places.tolist())) == n
    assert torch.equal(x, (places + 1.0).view(-1, 1, 1, 1).expand_as(x))


def test_every_chain_is_drawn_alike() -> None:
    buffer, generator = numbered(10), seeded()
    counts = torch.zeros(10)
    for _ in range(2000):
        counts[buffer.draw(3, generator)[1]] += 1
    low, high = binom.interval(1 - 1e-6, 2000, 0.3)
    assert bool(((counts >= low) & (counts <= high)).all())


def test_put_writes_back_exactly_there() -> None:
    buffer = numbered(10)
    before = buffer.chains.clone()
    x, places = buffer.draw(4, seeded())
    y = (x / 100).double().requires_grad_(True)
    buffer.put(places, y)
    expected = before.clone()
    for k, place in enumerate(places.tolist()):
        expected[place] = y[k].detach().float()
    assert torch.equal(buffer.chains, expected)
    assert buffer.chains.dtype == torch.float32 and not buffer.chains.requires_grad


def test_drawing_leaves_the_buffer_alone() -> None:
    buffer = numbered(10, restart=0.5)
    before = buffer.chains.clone()
    x, _ = buffer.draw(10, seeded())
    x.zero_()
    assert torch.equal(buffer.chains, before)


def test_reset() -> None:
    buffer = ReplayBuffer(BufferConfig(2000), (1, 2, 2))
    buffer.reset(seeded())
    x = buffer.chains
    assert 0 <= float(x.min()) and float(x.max()) < 1
    assert float(x.mean()) == pytest.approx(0.5, abs=5 * math.sqrt(1 / 12 / x.numel()))
    assert float(x.var()) == pytest.approx(1 / 12, abs=5 * math.sqrt(1 / 180 / x.numel()))
    again = ReplayBuffer(BufferConfig(2000), (1, 2, 2))
    again.reset(seeded())
    assert torch.equal(again.chains, x)


def test_too_many_chains() -> None:
    with pytest.raises(ConfigError, match=r"11 chains were asked of a buffer of 10; raise buffer\.size"):
        numbered(10).draw(11, seeded())


def test_augmentation_of_drawn_chains() -> None:
    """Drawn chains are flipped, restarted ones too; the buffer keeps the chains as they were."""
    flip = AugmentConfig(crop_ratio=(1.0, 1.0), flip=1.0)
    for restart in (0.0, 1.0):
        buffers = [ReplayBuffer(BufferConfig(6, restart, a), (1, 4, 4)) for a in (AugmentConfig(), flip)]
        for buffer in buffers:
            buffer.reset(seeded())
        (plain, places), (flipped, same) = (buffer.draw(5, seeded(1)) for buffer in buffers)
        assert torch.equal(places, same)
        torch.testing.assert_close(flipped, plain.flip(3), rtol=0, atol=1e-5)


def test_chains_are_part_of_the_state() -> None:
    assert list(ReplayBuffer(BufferConfig(3), (1, 2, 2)).state_dict()) == ["chains"]


@pytest.mark.parametrize("values", [{"size": 0}, {"restart": 1.5}, {"restart": -0.1}])
def test_buffer_refused(values: dict[str, float]) -> None:
    with pytest.raises(ConfigError):
        BufferConfig(**values)  # type: ignore[arg-type]
