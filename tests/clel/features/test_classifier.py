"""The classifier's feature space: deterministic training, its cache, its features."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from clel.data import DataError, Images, load
from clel.features import classifier
from clel.features.classifier import classifier_space
from clel.features.space import FeatureSpace


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


def test_the_accuracy_is_kept_for_each_held_out_split(digits: Images, tmp_path: Path) -> None:
    assert digits.labels is not None
    labels = digits.labels[:40]
    some = Images(digits.pixels[:40], labels, digits.name, "test", digits.classes)
    turned = Images(digits.pixels[:40], labels.roll(1), digits.name, "test", digits.classes)
    found = [classifier_space(digits, images, tmp_path).accuracy for images in (some, turned)]
    assert found[0] is not None and found[1] is not None and found[0] > 0.7 > 0.6 > found[1]
    assert [classifier_space(digits, images, tmp_path).accuracy for images in (some, turned)] == found
    for path in tmp_path.glob("*/accuracy-*.txt"):
        path.write_text("damaged")
    assert classifier_space(digits, some, tmp_path).accuracy == found[0]


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
