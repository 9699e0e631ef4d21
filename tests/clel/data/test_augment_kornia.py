"""The jitter of kornia 0.6.3 against its formulas: each operation by hand, its order, its spread, and who has it."""

from __future__ import annotations

import colorsys
import itertools
import math
from collections.abc import Sequence
from dataclasses import fields, make_dataclass, replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from baselines import METHODS
from clel.config import identity
from clel.data.augment import STRONG, AugmentConfig, augment, kornia_jitter, luminance, scale_saturation
from clel.methods.profiles.quick import DIGIT_VIEWS
from tests.clel.training.trainer_process import small_config, small_images
from tests.gpu.small import CPU, no_waiting

STRENGTHS = (0.4, 0.4, 0.4, 0.1)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def single(rgb: Sequence[float], n: int = 1) -> Tensor:
    """n images of one pixel, float64 [n, C, 1, 1]."""
    return torch.tensor(rgb, dtype=torch.float64).view(1, -1, 1, 1).expand(n, -1, 1, 1)


def clamp(value: float) -> float:
    return min(max(value, 0.0), 1.0)


def by_hand(rgb: Sequence[float], operation: int, amount: float) -> list[float]:
    """One operation on a pixel: x + b, c x, S <- min(1, s S), H <- H + h."""
    if operation == 0:
        return [clamp(v + amount) for v in rgb]
    if operation == 1:
        return [clamp(v * amount) for v in rgb]
    h, s, v = colorsys.rgb_to_hsv(*rgb)
    return list(colorsys.hsv_to_rgb(h, min(1.0, s * amount), v) if operation == 2 else
                colorsys.hsv_to_rgb((h + amount) % 1, s, v))  # fmt: skip


PIXEL = (0.7, 0.35, 0.2)


@pytest.mark.parametrize(("operation", "neutral"), [(0, 0.0), (1, 1.0), (2, 1.0), (3, 0.0)])
def test_each_operation_by_hand(operation: int, neutral: float) -> None:
    """Alone, with an amount of its own for each image, uniform in neutral +- strength."""
    strength, n = 0.1, 500
    strengths: Any = tuple(strength if k == operation else 0.0 for k in range(4))
    found = kornia_jitter(single(PIXEL, n), strengths, seeded()).flatten(1).numpy()
    amounts = []
    for pixel in found:
        h, s, _ = colorsys.rgb_to_hsv(*pixel)
        hue, saturation, _ = colorsys.rgb_to_hsv(*PIXEL)
        amount = (pixel[0] - PIXEL[0], pixel[0] / PIXEL[0], s / saturation, (h - hue + 0.5) % 1 - 0.5)[operation]
        assert pixel.tolist() == pytest.approx(by_hand(PIXEL, operation, amount), abs=1e-6)
        amounts.append(amount)
    edge = 0.01 * strength
    assert neutral - strength - 1e-6 <= min(amounts) < neutral - strength + edge
    assert neutral + strength - edge < max(amounts) <= neutral + strength + 1e-6
    assert np.mean(amounts) == pytest.approx(neutral, abs=5 * 2 * strength / math.sqrt(12 * n))


@settings(max_examples=60, deadline=None)
@given(
    rgb=st.tuples(*[st.floats(0, 1)] * 3) | st.tuples(*[st.sampled_from([0.0, 0.5, 1.0])] * 3),
    factor=st.floats(0, 3),
)
def test_saturation_against_colorsys(rgb: tuple[float, float, float], factor: float) -> None:
    found = scale_saturation(single(rgb), torch.full((1, 1, 1, 1), factor, dtype=torch.float64))
    assert found.flatten().tolist() == pytest.approx(by_hand(rgb, 2, factor), abs=1e-9)


def amounts(seed: int, n: int) -> tuple[np.ndarray, list[int]]:
    """What a seed draws for n images: amounts [4, n] of the operations, and their order."""
    g = seeded(seed)
    u = 2 * torch.rand(4, n, generator=g).double().numpy() - 1
    drawn = np.array(STRENGTHS)[:, None] * u + np.array([[0.0], [1.0], [1.0], [0.0]])
    return drawn, torch.rand(4, generator=g).argsort().tolist()


def test_one_order_a_batch_and_each_equally_often() -> None:
    """Every image of a batch goes through the operations in one order; of many batches each has any of the 24."""
    orders = list(itertools.permutations(range(4)))
    for seed in range(12):
        found = kornia_jitter(single(PIXEL, 6), STRENGTHS, seeded(seed)).flatten(1)
        drawn, order = amounts(seed, 6)
        expected = []
        for i in range(6):
            rgb: list[float] = list(PIXEL)
            for k in order:
                rgb = by_hand(rgb, k, float(drawn[k, i]))
            expected.append(rgb)
        torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float64), rtol=0, atol=1e-6)
    counts = np.zeros(len(orders))
    for seed in range(2400):
        counts[orders.index(tuple(amounts(seed, 1)[1]))] += 1
    assert (abs(counts - 100) < 5 * math.sqrt(100)).all()


def test_order_shows_in_the_images() -> None:
    """Grey images have two operations: c after b or b after c, one way for all images of a batch."""
    firsts = set()
    for seed in range(20):
        g = seeded(seed)
        b, c = (0.4 * (2 * torch.rand(50, generator=g).double().numpy() - 1) for _ in range(2))
        y = kornia_jitter(single([0.5], 50), STRENGTHS, seeded(seed)).flatten().numpy()
        either = {"b": np.clip(np.clip(0.5 + b, 0, 1) * (1 + c), 0, 1), "c": np.clip(0.5 * (1 + c) + b, 0, 1)}
        matches = [name for name, values in either.items() if np.abs(y - values).max() < 1e-6]
        assert len(matches) == 1
        firsts.add(matches[0])
    assert firsts == {"b", "c"}


def test_spread_of_a_grey_level() -> None:
    """Images of 0.47: standard deviation 0.25, by the same mean over b, c and both orders; SimCLR's has 0.108."""
    u = (np.arange(500) + 0.5) / 250 - 1
    b, c = 0.4 * u[:, None], 1 + 0.4 * u
    ways = [np.clip(np.clip(0.47 + b, 0, 1) * c, 0, 1), np.clip(np.clip(0.47 * c, 0, 1) + b, 0, 1)]
    drawn = [luminance(kornia_jitter(single([0.47] * 3, 500), STRENGTHS, seeded(k))).numpy().ravel() for k in range(80)]
    # 40,000 images: the error of a standard deviation s is s / sqrt(2 n) = 0.0009 for normal values
    assert np.concatenate(drawn).std() == pytest.approx(np.std(ways), abs=0.004)
    assert np.std(ways) == pytest.approx(0.256, abs=0.003)  # measured with kornia 0.6.3 itself


def test_probability_and_range() -> None:
    x = torch.rand(1, 3, 8, 8, generator=seeded()).expand(2000, -1, -1, -1)
    config = AugmentConfig(jitter=STRENGTHS, jitter_probability=0.8, style="kornia")
    y = augment(x, config, seeded())
    assert abs(int((y != x).flatten(1).any(1).sum()) - 1600) < 5 * math.sqrt(2000 * 0.8 * 0.2)
    assert float(y.min()) == 0 and float(y.max()) == 1
    assert torch.equal(augment(x, config, seeded()), y) and not torch.equal(augment(x, config, seeded(1)), y)


def test_one_channel_has_brightness_and_contrast_alone() -> None:
    x = torch.rand(4, 1, 8, 8, generator=seeded())
    assert torch.equal(kornia_jitter(x, (0.0, 0.0, 1.0, 0.5), seeded()), x)
    for strengths in ((0.4, 0.0, 0.0, 0.0), (0.0, 0.4, 0.0, 0.0)):
        assert not torch.allclose(kornia_jitter(x, strengths, seeded()), x)


@pytest.mark.parametrize("channels", [1, 3])
def test_no_draw_waits_for_a_gpu(channels: int) -> None:
    x = torch.rand(4, channels, 8, 8, generator=seeded())
    with no_waiting(CPU):
        augment(x, STRONG, seeded())


def test_presets_that_reproduce_the_paper_have_it_and_quick_has_its_own() -> None:
    for name in ("clel", "plain"):
        for preset, recipe in METHODS[name].recipes().items():
            # chains of evening start from noise and are not augmented; its views are the paper's
            own = ("quick", "shapes", "evening")
            assert recipe.config.buffer.augmentation.style == ("simclr" if preset in own else "kornia"), (name, preset)
            if name == "clel":
                assert recipe.config.views.style == ("simclr" if preset in ("quick", "shapes") else "kornia"), preset
    assert {"small", "paper", "multiscale", "multiscale-256", "large", "celeba64"} < METHODS["clel"].recipes().keys()


def test_the_default_leaves_the_names_of_runs_as_they_were() -> None:
    plain = AugmentConfig(jitter=STRENGTHS, jitter_probability=0.8)
    names = [field.name for field in fields(plain) if field.name != "style"]
    before = make_dataclass("Before", names)(*(getattr(plain, name) for name in names))
    assert identity(plain) == identity(before) != identity(replace(plain, style="kornia"))
    assert METHODS["clel"].recipe("quick").config.views == DIGIT_VIEWS


@pytest.mark.parametrize("engine", ["fast", "exact"])
def test_both_views_of_a_batch_have_one_order(engine: Any) -> None:
    """The encoder's views are one batch to kornia, twice the images."""
    from clel import CLEL

    seen: list[Tensor] = []
    views = replace(DIGIT_VIEWS, style="kornia")
    torch.manual_seed(0)
    method = CLEL(replace(small_config(), engine=engine, views=views), small_images().spec)
    method.encoder.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0].clone()))
    n = method.images_per_step
    images = torch.rand(n, 1, 8, 8, generator=seeded())
    method.latents(images, seeded(3))
    g = seeded(3)
    if engine == "exact":
        torch.testing.assert_close(seen[0], augment(images[: method.config.batch_size], views, g))
    torch.testing.assert_close(seen[-1], augment(torch.cat([images, images]), views, g))
