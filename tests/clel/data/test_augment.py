"""The augmentations against plain formulas: crops of ramps, exact flips, colours through colorsys."""

from __future__ import annotations

import colorsys
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from clel.config import ConfigError
from clel.data.augment import NONE, STRONG, WEAK, AugmentConfig, augment, crop_and_flip, jitter, luminance, rotate_hue


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def images(n: int = 4, channels: int = 3, size: int = 8, seed: int = 0) -> Tensor:
    return torch.rand(n, channels, size, size, generator=seeded(seed))


probabilities = st.floats(0, 1)
ranges = st.tuples(st.floats(0.05, 1), st.floats(0.05, 1)).map(lambda pair: (min(pair), max(pair)))
configs = st.builds(
    AugmentConfig,
    crop_scale=ranges,
    flip=probabilities,
    jitter=st.tuples(probabilities, probabilities, probabilities, st.floats(0, 0.5)),
    jitter_probability=probabilities,
    grey=probabilities,
    apply=probabilities,
    style=st.sampled_from(["simclr", "kornia"]),
)


@settings(max_examples=30, deadline=None)
@given(
    config=configs,
    channels=st.sampled_from([1, 3]),
    size=st.sampled_from([4, 8, 9]),
    seed=st.integers(0, 2**31),
    dtype=st.sampled_from([torch.float32, torch.float64]),
)
def test_range_shape_dtype_determinism(
    config: AugmentConfig, channels: int, size: int, seed: int, dtype: torch.dtype
) -> None:
    x = images(5, channels, size, seed).to(dtype)
    x[0], x[1] = x[0].round(), 0  # images at the ends of the range
    before = x.clone()
    y = augment(x, config, seeded(seed))
    assert y.shape == x.shape and y.dtype == dtype
    assert bool(((y >= 0) & (y <= 1)).all())
    assert torch.equal(x, before)
    assert torch.equal(augment(x, config, seeded(seed)), y)


@pytest.mark.parametrize(
    "config", [NONE, AugmentConfig(apply=0.0, flip=1.0), AugmentConfig(jitter=(1.0, 1.0, 1.0, 0.5))]
)
def test_identity(config: AugmentConfig) -> None:
    x = images()
    assert torch.equal(augment(x, config, seeded()), x)


@pytest.mark.parametrize("config", [WEAK, STRONG])
def test_each_image_has_its_own_draw(config: AugmentConfig) -> None:
    """Eight copies of one image come out different from each other, and different for another generator."""
    x = images(1).expand(8, -1, -1, -1)
    y = augment(x, config, seeded())
    assert all(not torch.equal(y[i], y[j]) for i in range(8) for j in range(i))
    assert not torch.equal(augment(x, config, seeded(1)), y)


def test_apply_is_the_share_of_changed_images() -> None:
    x = images(1).expand(2000, -1, -1, -1)
    y = augment(x, AugmentConfig(crop_ratio=(1.0, 1.0), flip=1.0, apply=0.3), seeded())
    changed = int((y != x).flatten(1).any(1).sum())
    assert abs(changed - 600) < 5 * math.sqrt(2000 * 0.3 * 0.7)


@pytest.mark.parametrize("size", [7, 8, 32])
def test_flip_is_exact(size: int) -> None:
    x = images(size=size)
    y = augment(x, AugmentConfig(crop_ratio=(1.0, 1.0), flip=1.0), seeded())
    torch.testing.assert_close(y, x.flip(3), rtol=0, atol=2e-5)


def test_flip_probability() -> None:
    x = images(1).expand(2000, -1, -1, -1)
    y = augment(x, AugmentConfig(crop_ratio=(1.0, 1.0), flip=0.25), seeded())
    flipped = int(((y - x.flip(3)).abs() < 1e-4).flatten(1).all(1).sum())
    plain = int(((y - x).abs() < 1e-4).flatten(1).all(1).sum())
    assert flipped + plain == 2000
    assert abs(flipped - 500) < 5 * math.sqrt(2000 * 0.25 * 0.75)


TOLERANCE = 3e-3
"""Of a box read off a ramp: torch's bicubic kernel (a = -0.75) reads linear functions to a twentieth of a pixel."""


def boxes(config: AugmentConfig, n: int, seed: int) -> np.ndarray:
    """Left, top, width, height of n crops as shares of the image, read off crops of two linear ramps.

    The image's channels show the horizontal and the vertical position of each pixel, so that the crop's pixels say
    where they were read; near the border the reflection bends the ramps.
    """
    size = 64
    position = (torch.arange(size) + 0.5) / size
    x = torch.stack([position.expand(size, size), position[:, None].expand(size, size), torch.zeros(size, size)])
    y = crop_and_flip(x.expand(n, -1, -1, -1), config, seeded(seed)).double().numpy()
    middle = slice(8, -8)
    found = []
    for image in y:
        # the crop's pixel i is centred at start + extent (i + 1/2) / S
        i = (np.arange(size)[middle] + 0.5) / size
        (width, left), (height, top) = (np.polyfit(i, line[middle], 1) for line in (image[0, 32], image[1, :, 32]))
        np.testing.assert_allclose(left + width * i, image[0, 32, middle], atol=TOLERANCE)
        np.testing.assert_allclose(top + height * i, image[1, middle, 32], atol=TOLERANCE)
        assert np.allclose(image[2], 0)
        found.append((left, top, width, height))
    return np.array(found)


def test_crop_coordinates() -> None:
    """Crops lie in the image, and their area and aspect ratio are uniform and log-uniform in the configured range."""
    n = 400
    left, top, width, height = boxes(AugmentConfig(crop_scale=(0.2, 0.6)), n, 0).T
    assert min(left.min(), top.min()) > -TOLERANCE
    assert max((left + width).max(), (top + height).max()) < 1 + TOLERANCE
    area, ratio = width * height, np.log(width / height)
    assert 0.2 - TOLERANCE < area.min() < 0.21 and 0.59 < area.max() < 0.6 + TOLERANCE
    spread = math.log(4 / 3)
    assert -spread - 0.01 < ratio.min() < -0.95 * spread and 0.95 * spread < ratio.max() < spread + 0.01
    # a uniform variable of width w has standard deviation w / sqrt(12)
    assert area.mean() == pytest.approx(0.4, abs=5 * 0.4 / math.sqrt(12 * n))
    assert ratio.mean() == pytest.approx(0, abs=5 * 2 * spread / math.sqrt(12 * n))
    # the corner is uniform over the places where the crop fits, the two axes independently
    across, down = left / (1 - width), top / (1 - height)
    for share in (across, down):
        assert share.mean() == pytest.approx(0.5, abs=5 / math.sqrt(12 * n))
        assert share.std() == pytest.approx(1 / math.sqrt(12), abs=0.03)
    assert abs(np.corrcoef(across, down)[0, 1]) < 5 / math.sqrt(n)


def test_flipped_crop_reads_the_same_box_backwards() -> None:
    config = AugmentConfig(crop_scale=(0.3, 0.3), crop_ratio=(1.0, 1.0))
    plain, flipped = boxes(config, 20, 3), boxes(replace(config, flip=1.0), 20, 3)
    np.testing.assert_allclose(flipped[:, 2], -plain[:, 2], atol=2 * TOLERANCE)
    np.testing.assert_allclose(flipped[:, 0], plain[:, 0] + plain[:, 2], atol=2 * TOLERANCE)
    np.testing.assert_allclose(flipped[:, [1, 3]], plain[:, [1, 3]], atol=2 * TOLERANCE)


def test_without_crops_nothing_is_stretched() -> None:
    """A pipeline that only flips reads the whole image, whatever the range of aspect ratios."""
    found = boxes(AugmentConfig(flip=0.5), 40, 0)
    np.testing.assert_allclose(np.abs(found[:, 2]), 1, atol=TOLERANCE)
    np.testing.assert_allclose(found[:, [1, 3]], [[0, 1]] * 40, atol=TOLERANCE)


def test_luminance() -> None:
    x = images()
    np.testing.assert_allclose(
        luminance(x)[:, 0], 0.299 * x[:, 0] + 0.587 * x[:, 1] + 0.114 * x[:, 2], rtol=1e-6, atol=1e-7
    )
    grey = images(channels=1)
    assert torch.equal(luminance(grey), grey)
    torch.testing.assert_close(luminance(grey.expand(-1, 3, -1, -1)), grey)


@settings(max_examples=60, deadline=None)
@given(
    rgb=st.tuples(*[st.floats(0, 1)] * 3) | st.tuples(*[st.sampled_from([0.0, 0.5, 1.0])] * 3),
    turns=st.floats(-0.5, 0.5),
)
def test_hue_against_colorsys(rgb: tuple[float, float, float], turns: float) -> None:
    x = torch.tensor(rgb, dtype=torch.float64).view(1, 3, 1, 1)
    h, s, v = colorsys.rgb_to_hsv(*rgb)
    expected = colorsys.hsv_to_rgb((h + turns) % 1, s, v)
    y = rotate_hue(x, torch.tensor(turns, dtype=torch.float64).view(1, 1, 1)).flatten().tolist()
    assert y == pytest.approx(expected, abs=1e-9)


def test_hue_leaves_grey_alone() -> None:
    x = images(channels=1).expand(-1, 3, -1, -1)
    torch.testing.assert_close(rotate_hue(x, torch.full((4, 1, 1), 0.3)), x)


def fit_factor(x: np.ndarray, y: np.ndarray, centre: np.ndarray) -> float:
    """c in y = centre + c (x - centre), where no value was clamped."""
    inside = (y > 1e-6) & (y < 1 - 1e-6)
    dx, dy = (x - centre)[inside], (y - centre)[inside]
    c = float((dx * dy).sum() / (dx * dx).sum())
    np.testing.assert_allclose(dy, c * dx, atol=1e-6)
    return c


WEIGHTS = np.array([0.299, 0.587, 0.114]).reshape(3, 1, 1)


@pytest.mark.parametrize("which", [0, 1, 2])
def test_jitter_factors(which: int) -> None:
    """Brightness scales about 0, contrast about the mean luminance, saturation about each pixel's; in 1 +- s."""
    strengths = [0.0, 0.0, 0.0, 0.0]
    strengths[which] = 0.4
    x = 0.3 + 0.4 * images(300).double()
    y = jitter(x, tuple(strengths), seeded()).numpy()  # type: ignore[arg-type]
    factors = []
    for a, b in zip(x.numpy(), y, strict=True):
        grey = (WEIGHTS * a).sum(0, keepdims=True)
        centre = [np.zeros_like(a), np.full_like(a, grey.mean()), np.broadcast_to(grey, a.shape)][which]
        factors.append(fit_factor(a, b, centre))
    assert 0.6 - 1e-6 <= min(factors) < 0.63 and 1.37 < max(factors) <= 1.4 + 1e-6
    assert np.mean(factors) == pytest.approx(1, abs=5 * 0.8 / math.sqrt(12 * 300))


def test_jitter_hue_range() -> None:
    """A red image turns by a hue in +- s."""
    red = torch.tensor([0.8, 0.2, 0.2]).view(1, 3, 1, 1).expand(300, 3, 2, 2).double()
    y = jitter(red, (0.0, 0.0, 0.0, 0.1), seeded()).numpy()
    hues = np.array([(colorsys.rgb_to_hsv(*image[:, 0, 0])[0] + 0.5) % 1 - 0.5 for image in y])
    assert -0.1 - 1e-6 <= hues.min() < -0.09 and 0.09 < hues.max() <= 0.1 + 1e-6


def test_jitter_and_grey_probabilities() -> None:
    x = images(1).expand(2000, -1, -1, -1)
    y = augment(x, AugmentConfig(jitter=(0.4, 0.0, 0.0, 0.0), jitter_probability=0.8), seeded())
    assert abs(int((y != x).flatten(1).any(1).sum()) - 1600) < 5 * math.sqrt(2000 * 0.8 * 0.2)
    y = augment(x, AugmentConfig(grey=0.2), seeded())
    grey = (y[:, 0] == y[:, 1]).flatten(1).all(1) & (y[:, 1] == y[:, 2]).flatten(1).all(1)
    assert abs(int(grey.sum()) - 400) < 5 * math.sqrt(2000 * 0.2 * 0.8)
    torch.testing.assert_close(y[grey][:, :1], luminance(x)[grey])
    assert torch.equal(y[~grey], x[~grey])


def test_one_channel_images_keep_their_grey() -> None:
    """Colour dropping, saturation and hue do nothing to them; brightness and contrast do."""
    x = images(channels=1)
    assert torch.equal(augment(x, AugmentConfig(grey=1.0), seeded()), x)
    config = AugmentConfig(jitter=(0.0, 0.0, 1.0, 0.5), jitter_probability=1.0)
    torch.testing.assert_close(augment(x, config, seeded()), x)
    assert not torch.allclose(augment(x, STRONG, seeded()), x)


def test_published_pipelines() -> None:
    """The authors' strong augmentation: SimCLR's without blur, half-strength colours."""
    assert STRONG == AugmentConfig((0.08, 1.0), (3 / 4, 4 / 3), 0.5, (0.4, 0.4, 0.4, 0.1), 0.8, 0.2, 1.0, "kornia")
    assert NONE == AugmentConfig()


@pytest.mark.parametrize(
    "values",
    [
        {"crop_scale": (0.0, 1.0)},
        {"crop_scale": (0.8, 0.5)},
        {"crop_scale": (0.5, 1.2)},
        {"crop_ratio": (0.0, 1.0)},
        {"crop_ratio": (2.0, 1.0)},
        {"flip": 1.5},
        {"grey": -0.1},
        {"apply": math.nan},
        {"jitter_probability": 2.0},
        {"jitter": (-0.1, 0.0, 0.0, 0.0)},
        {"jitter": (0.0, 1.5, 0.0, 0.0)},
        {"jitter": (0.0, 0.0, 0.0, 0.6)},
    ],
)
def test_refused(values: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        AugmentConfig(**values)  # type: ignore[arg-type]
