"""Frechet and kernel distances, precision and recall against closed forms and loops; the classifier's feature space."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import scipy.linalg
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from clel.data import DataError, Images, load
from clel.metrics import (
    FeatureSpace,
    TooFewSamples,
    classifier,
    classifier_space,
    frechet_distance,
    kernel_distance,
    moments,
    precision_recall,
)


def normal(n: int, d: int, seed: int) -> Tensor:
    return torch.randn(n, d, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def gaussian(d: int, seed: int) -> tuple[Tensor, Tensor]:
    """A mean and a well-conditioned covariance."""
    a = normal(d, d, seed)
    return normal(1, d, seed + 1)[0], a @ a.T / d + 0.3 * torch.eye(d, dtype=torch.float64)


# Frechet distance


@settings(max_examples=20, deadline=None)
@given(d=st.integers(1, 12), seed=st.integers(0, 10_000))
def test_frechet_closed_forms(d: int, seed: int) -> None:
    mean, s = gaussian(d, seed)
    scale = max(1.0, float(s.trace()))
    # equal Gaussians
    assert frechet_distance((mean, s), (mean, s)) == pytest.approx(0, abs=1e-10 * scale)
    # a shifted mean
    shift = normal(1, d, seed + 2)[0]
    expected = float(shift.square().sum())
    assert frechet_distance((mean, s), (mean + shift, s)) == pytest.approx(expected, rel=1e-9, abs=1e-10 * scale)
    # a scaled variable: (c - 1)^2 tr S
    c = 1.7
    assert frechet_distance((mean, s), (mean, c * c * s)) == pytest.approx((c - 1) ** 2 * float(s.trace()), rel=1e-9)
    # commuting covariances: the sum of squared differences of standard deviations, in a rotated basis
    q, _ = torch.linalg.qr(normal(d, d, seed + 3))
    a, b = normal(2, d, seed + 4).abs() + 0.1
    first, second = (q * a.square()) @ q.T, (q * b.square()) @ q.T
    expected = sum((float(x) - float(y)) ** 2 for x, y in zip(a, b, strict=True))
    assert frechet_distance((mean, first), (mean, second)) == pytest.approx(expected, rel=1e-8, abs=1e-10)


@settings(max_examples=15, deadline=None)
@given(d=st.integers(1, 20), seed=st.integers(0, 10_000))
def test_frechet_against_sqrtm(d: int, seed: int) -> None:
    """Heusel et al.'s form: |m1 - m2|^2 + tr(S1 + S2 - 2 (S1 S2)^1/2), by scipy's general matrix square root."""
    first, second = gaussian(d, seed), gaussian(d, seed + 7)
    root = scipy.linalg.sqrtm(first[1].numpy() @ second[1].numpy()).real
    difference = (first[0] - second[0]).numpy()
    expected = difference @ difference + np.trace(first[1].numpy() + second[1].numpy() - 2 * root)
    value = frechet_distance(first, second)
    assert value == pytest.approx(expected, rel=1e-8)
    assert frechet_distance(second, first) == pytest.approx(value, rel=1e-10)


def test_frechet_of_singular_covariances() -> None:
    """Features that never vary (dead activations) are no obstacle: a point against a point, and against a line."""
    zero, mean = torch.zeros(3, 3, dtype=torch.float64), torch.tensor([1.0, 2.0, 2.0], dtype=torch.float64)
    assert frechet_distance((mean, zero), (torch.zeros(3), zero)) == pytest.approx(9)
    line = torch.diag(torch.tensor([4.0, 0.0, 0.0], dtype=torch.float64))
    assert frechet_distance((mean, line), (mean, zero)) == pytest.approx(4)
    assert frechet_distance((mean, zero), (mean, line)) == pytest.approx(4)


def test_moments() -> None:
    x = normal(9, 4, 0)
    mean, s = moments(x.float())
    assert mean.dtype == s.dtype == torch.float64
    np.testing.assert_allclose(mean, x.float().double().numpy().mean(0), rtol=1e-12)
    np.testing.assert_allclose(s, np.cov(x.float().double().numpy(), rowvar=False, ddof=1), rtol=1e-12)


@pytest.mark.parametrize("n", [1, 4, 5])
def test_too_few_for_a_covariance(n: int) -> None:
    with pytest.raises(TooFewSamples, match=rf"{n} images are too few .* 5-dimensional .*KID"):
        moments(normal(n, 5, 0))
    assert moments(normal(6, 5, 0))[1].shape == (5, 5)


# kernel distance


def squared_mmd(x: np.ndarray, y: np.ndarray) -> float:
    """The unbiased estimate with k(a, b) = (a.b / D + 1)^3, pair by pair."""

    def k(a: np.ndarray, b: np.ndarray) -> float:
        return (float((a * b).sum()) / len(a) + 1) ** 3

    m, n = len(x), len(y)
    xx = sum(k(x[i], x[j]) for i in range(m) for j in range(m) if i != j) / (m * (m - 1))
    yy = sum(k(y[i], y[j]) for i in range(n) for j in range(n) if i != j) / (n * (n - 1))
    xy = sum(k(a, b) for a in x for b in y) / (m * n)
    return xx + yy - 2 * xy


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_kernel_distance_against_loops() -> None:
    """With subsets as large as the sets every subset is the whole."""
    x, y = normal(7, 3, 0), normal(7, 3, 1) + 0.5
    mean, std = kernel_distance(x, y, seeded(), subset=50, subsets=3)
    assert mean == pytest.approx(squared_mmd(x.numpy(), y.numpy()), rel=1e-10)
    assert std == pytest.approx(0, abs=1e-10)


def test_kernel_distance_over_subsets() -> None:
    """Mean and standard deviation over subsets, drawn without replacement by the generator."""
    x, y = normal(12, 3, 0), normal(20, 3, 1) + 0.5
    generator, values = seeded(5), []
    for _ in range(6):
        first = x[torch.randperm(12, generator=generator)[:5]]
        second = y[torch.randperm(20, generator=generator)[:5]]
        values.append(squared_mmd(first.numpy(), second.numpy()))
    mean, std = kernel_distance(x, y, seeded(5), subset=5, subsets=6)
    assert mean == pytest.approx(np.mean(values), rel=1e-10)
    assert std == pytest.approx(np.std(values), rel=1e-10)
    assert kernel_distance(x, y, seeded(5), 5, 6) == (mean, std)
    assert kernel_distance(x, y, seeded(6), 5, 6) != (mean, std)


def test_kernel_distance_is_unbiased() -> None:
    """Between samples of one distribution it falls on both sides of zero, and its mean is zero within its error.

    The biased estimate, whose diagonals are kept, would lie above zero always.
    """
    values = [kernel_distance(normal(10, 4, k), normal(10, 4, 1000 + k), seeded(), subsets=1)[0] for k in range(300)]
    assert min(values) < 0 < max(values)
    assert abs(np.mean(values)) < 4 * np.std(values) / math.sqrt(300)
    assert kernel_distance(normal(50, 4, 0), normal(50, 4, 1) + 2, seeded())[0] > 1


def test_kernel_distance_refuses_one_image() -> None:
    with pytest.raises(TooFewSamples, match="at least 2 images a set; given 1 and 9"):
        kernel_distance(normal(1, 3, 0), normal(9, 3, 1), seeded())


# precision and recall


def points(*values: float) -> Tensor:
    return torch.tensor(values).view(-1, 1)


def test_precision_recall_by_hand() -> None:
    """On a line, k = 1: the real set reaches 1 around 0 and 1, and 2 around 3 (over [-1, 5])."""
    real = points(0, 1, 3)
    fake = points(0.5, 4.9, 5.1, 100)
    # the fakes' balls: 4.4 around 0.5, 0.2 around 4.9 and 5.1, 94.9 around 100
    assert precision_recall(real, fake, k=1) == (0.5, 1.0)
    assert precision_recall(real, points(50, 51, 52), k=1) == (0.0, 0.0)
    # one mode copied: all fakes are right, and one real image of three is covered
    assert precision_recall(points(0, 10, 20), points(0, 0.1, 0.2), k=1) == pytest.approx((1.0, 1 / 3))
    assert precision_recall(real, real, k=1) == (1.0, 1.0)


@settings(max_examples=25, deadline=None)
@given(n=st.integers(4, 40), m=st.integers(4, 40), k=st.integers(1, 3), seed=st.integers(0, 10_000))
def test_precision_recall_against_loops(n: int, m: int, k: int, seed: int) -> None:
    real, fake = normal(n, 3, seed).numpy(), normal(m, 3, seed + 1).numpy() * 1.3 + 0.4

    def radii(x: np.ndarray) -> list[float]:
        return [sorted(float(np.linalg.norm(a - b)) for j, b in enumerate(x) if j != i)[k - 1] for i, a in enumerate(x)]

    def share(queries: np.ndarray, centres: np.ndarray) -> float:
        reach = radii(centres)
        inside = [any(np.linalg.norm(q - c) <= r for c, r in zip(centres, reach, strict=True)) for q in queries]
        return sum(inside) / len(queries)

    expected = (share(fake, real), share(real, fake))
    assert precision_recall(torch.from_numpy(real), torch.from_numpy(fake), k) == pytest.approx(expected)


def test_precision_recall_of_repeated_images() -> None:
    """A set covers itself also where it repeats images and its balls have radius zero, far from the origin too."""
    x = (normal(400, 64, 2) + 5).repeat_interleave(7, 0)
    shuffled = x[torch.randperm(len(x), generator=seeded())]
    assert precision_recall(x, shuffled, k=3) == (1.0, 1.0)
    # distances by way of a matrix product differ in the last digits between batches, and zero is no longer zero
    assert precision_recall(x, shuffled[:1003], k=3)[0] == 1
    assert precision_recall(x, shuffled[:1501], k=3)[0] == 1


def test_precision_recall_refuses_few_images() -> None:
    with pytest.raises(TooFewSamples, match="more than 3 images"):
        precision_recall(normal(3, 2, 0), normal(9, 2, 1))


# the classifier's feature space


@pytest.fixture
def digits(monkeypatch: pytest.MonkeyPatch) -> Images:
    """200 digits of three classes and a recipe of few iterations on few images."""
    monkeypatch.setattr(classifier, "ITERATIONS", 30)
    monkeypatch.setattr(classifier, "BATCH", 16)
    train = load("digits", "train")
    assert train.labels is not None
    chosen = (train.labels < 3).nonzero().flatten()[:200]
    return Images(train.pixels[chosen], train.labels[chosen], "three digits", "train", ("0", "1", "2"))


def state(space: FeatureSpace) -> dict[str, Tensor]:
    return space.network.state_dict()


def same(a: FeatureSpace, b: FeatureSpace) -> bool:
    return all(torch.equal(value, state(b)[name]) for name, value in state(a).items())


def test_training_is_deterministic(digits: Images, tmp_path: Path) -> None:
    """Wherever it is trained, whatever was drawn before, and torch's own generator is left as it was."""
    torch.manual_seed(1)
    undisturbed = torch.rand(3)
    torch.manual_seed(1)
    first = classifier_space(digits, digits, tmp_path / "a")
    assert torch.equal(torch.rand(3), undisturbed)
    second = classifier_space(digits, digits, tmp_path / "b")
    assert same(first, second)
    assert first.identity == second.identity and first.name == "classifier-v1 (three digits)"
    assert first.accuracy is not None and first.accuracy > 0.9 and first.accuracy == second.accuracy


def test_cache_is_used(digits: Images, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = classifier_space(digits, cache=tmp_path)
    assert first.accuracy is None

    def refuse(*arguments: object) -> None:
        raise AssertionError("trained again")

    monkeypatch.setattr(classifier, "_fit", refuse)
    assert same(first, classifier_space(digits, cache=tmp_path))
    # other images are another space
    pixels = digits.pixels.clone()
    pixels[0, 0, 0, 0] ^= 1
    with pytest.raises(AssertionError, match="trained again"):
        classifier_space(Images(pixels, digits.labels, "three digits", "train", digits.classes), cache=tmp_path)
    monkeypatch.setenv("CLEL_CACHE", str(tmp_path))
    assert same(first, classifier_space(digits))


@pytest.mark.parametrize("damage", ["truncated", "changed"])
def test_damaged_cache_is_trained_again(digits: Images, tmp_path: Path, damage: str) -> None:
    first = classifier_space(digits, cache=tmp_path)
    (file,) = tmp_path.rglob("*.pt")
    data = bytearray(file.read_bytes())
    if damage == "truncated":
        data = data[: len(data) // 2]
    else:
        data[len(data) // 2] ^= 255
    file.write_bytes(data)
    with pytest.warns(UserWarning, match="damaged"):
        second = classifier_space(digits, cache=tmp_path)
    assert same(first, second)
    assert same(first, classifier_space(digits, cache=tmp_path))


def test_features(digits: Images, tmp_path: Path) -> None:
    """float64 [N, 64], of mean variance 1 over the training split, the same in batches; probabilities sum to 1."""
    space = classifier_space(digits, cache=tmp_path)
    features, probabilities = space(digits.pixels)
    assert features.shape == (len(digits), 64) and features.dtype == torch.float64
    assert probabilities.shape == (len(digits), 3) and probabilities.dtype == torch.float64
    assert float(features.min()) >= 0 and not features.requires_grad
    assert float(features.var(0).mean()) == pytest.approx(1, rel=1e-9)
    torch.testing.assert_close(probabilities.sum(1), torch.ones(len(digits), dtype=torch.float64))
    in_batches, _ = space(digits.pixels, batch=7)
    torch.testing.assert_close(in_batches, features, rtol=1e-10, atol=1e-12)


def test_scale_leaves_the_logits_alone(digits: Images) -> None:
    torch.manual_seed(0)
    network = classifier.Classifier(digits).double()
    x = torch.rand(5, 1, 8, 8, dtype=torch.float64)
    with torch.no_grad():
        logits, features = network(x), network.features(x)
        network.set_scale(digits.pixels)
        torch.testing.assert_close(network(x), logits, rtol=1e-10, atol=1e-12)
        torch.testing.assert_close(network.features(x) * network.scale, features, rtol=1e-10, atol=1e-12)
    assert float(network.scale) != 1


def test_unlabelled_images_are_refused(digits: Images, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="labels of at least two classes"):
        classifier_space(Images(digits.pixels), cache=tmp_path)
    with pytest.raises(DataError, match="labels of at least two classes"):
        classifier_space(
            Images(digits.pixels, torch.zeros(len(digits), dtype=torch.int64), classes=("0",)), cache=tmp_path
        )
    assert list(tmp_path.iterdir()) == []
