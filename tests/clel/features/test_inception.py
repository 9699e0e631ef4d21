"""Inception feature spaces, on random weights in the published formats: clean-fid's features, from tensors."""

import dataclasses
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from cleanfid import features as cleanfid_features
from cleanfid import fid, inception_pytorch
from cleanfid.inception_torchscript import InceptionV3W
from PIL import Image
from torch import Tensor

from clel.config import ConfigError
from clel.data import DataError
from clel.features.inception import MODES, inception_space
from clel.features.pretrained_space import PretrainedSpace
from clel.features.space import FeatureSpace
from clel.networks.weights import STATE_DICT, TORCHSCRIPT, Weights, WeightsError
from clel.random import stream
from tests.inception_files import described, write_state_dict, write_torchscript

CPU = torch.device("cpu")


@dataclasses.dataclass(frozen=True)
class Files:
    cache: Path
    by_name: dict[str, Weights]

    def weights(self, mode: str) -> Weights:
        return self.by_name[MODES[mode].weights.file]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    cache = tmp_path_factory.mktemp("cache")
    written = write_torchscript(cache / "inception"), write_state_dict(cache / "inception")
    return Files(cache, {weights.file: weights for weights in written})


@pytest.fixture(scope="module")
def spaces(files: Files) -> dict[str, PretrainedSpace]:
    return {mode: inception_space(mode, "cpu", files.cache, files.weights(mode)) for mode in MODES}


@pytest.fixture(scope="module")
def theirs(files: Files, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Callable[[Tensor], Tensor]]:
    """clean-fid's own extractors of these files: one led to the folder, the other by torch.hub's folder."""
    folder = files.cache / "inception"
    home = tmp_path_factory.mktemp("torch")
    (home / "hub/checkpoints").mkdir(parents=True)
    (home / "hub/checkpoints" / STATE_DICT.file).symlink_to(folder / STATE_DICT.file)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TORCH_HOME", str(home))
        patch.setattr(cleanfid_features, "InceptionV3W", lambda _, download, **kw: InceptionV3W(folder, False, **kw))
        return {
            name: cleanfid_features.build_feature_extractor(mode.cleanfid, CPU, use_dataparallel=False)
            for name, mode in MODES.items()
        }


def images(n: int, channels: int, size: int) -> Tensor:
    return torch.randint(0, 256, (n, channels, size, size), dtype=torch.uint8, generator=stream("cpu", 1, "images"))


@pytest.mark.parametrize(("channels", "size"), [(3, 32), (1, 28), (3, 330)])
@pytest.mark.parametrize("mode", MODES)
def test_features_are_clean_fids(
    mode: str,
    channels: int,
    size: int,
    tmp_path: Path,
    spaces: dict[str, PretrainedSpace],
    theirs: dict[str, Callable[[Tensor], Tensor]],
) -> None:
    """Bit by bit those of the same images read from PNG files, grey ones included."""
    pixels = images(1, channels, size)
    Image.fromarray(pixels[0].permute(1, 2, 0).squeeze(2).numpy()).save(tmp_path / "0.png")
    expected = fid.get_files_features(
        [tmp_path / "0.png"], theirs[mode], num_workers=0, device=CPU, mode=MODES[mode].cleanfid, verbose=False
    )
    features, _ = spaces[mode](pixels)
    assert features.dtype == torch.float32 and features.shape == (1, 2048)
    assert np.array_equal(features.numpy(), expected)


def test_features_are_clean_fids_of_a_generator(
    spaces: dict[str, PretrainedSpace], theirs: dict[str, Callable[[Tensor], Tensor]]
) -> None:
    pixels, found = images(2, 3, 32), []
    for mode, space in spaces.items():
        expected = fid.get_model_features(
            lambda z: pixels, theirs[mode], MODES[mode].cleanfid, 1, 2, batch_size=2, device=CPU, verbose=False
        )
        found.append(space(pixels)[0])
        assert np.array_equal(found[-1].numpy(), expected), mode
    # equality says something: two images differ, and so do two modes
    a, b, c = (features[0] for features in found)
    other = found[0][1]
    assert min((x - y).abs().max() for x, y in ((a, b), (a, c), (b, c), (a, other))) > 1e-2


def test_probabilities_are_a_softmax_without_the_bias(files: Files, spaces: dict[str, PretrainedSpace]) -> None:
    state = torch.load(files.cache / "inception" / STATE_DICT.file, weights_only=True)
    weight, bias = state["fc.weight"].double().numpy(), state["fc.bias"].double().numpy()
    for mode, space in spaces.items():
        features, probabilities = space(images(1, 3, 32))
        assert probabilities.dtype == torch.float32 and probabilities.shape == (1, 1008)
        assert (probabilities.double().sum(1) - 1).abs().max() < 1e-5
        for f, p in zip(features.double().numpy(), probabilities.numpy(), strict=True):
            e = np.exp(weight @ f)
            assert np.allclose(p, e / e.sum(), rtol=1e-3, atol=0), mode
            e = np.exp(weight @ f + bias)
            assert np.abs(p - e / e.sum()).max() > 1e-3


def test_the_files_own_forward_gives_the_same(files: Files, spaces: dict[str, PretrainedSpace]) -> None:
    pixels = images(2, 3, 32)
    features, probabilities = spaces["inception-tensorflow"](pixels)
    with torch.no_grad():
        network = torch.jit.load(files.cache / "inception" / TORCHSCRIPT.file).eval()
        assert torch.equal(network(pixels, return_features=True), features)
        assert torch.allclose(network(pixels, no_output_bias=True), probabilities, rtol=1e-5, atol=0)


def test_torch_fidelity_agrees(files: Files, spaces: dict[str, PretrainedSpace]) -> None:
    """Its resize is TensorFlow's too, and its network another implementation of the same weights."""
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    path = str(files.cache / "inception" / STATE_DICT.file)
    network = FeatureExtractorInceptionV3("i", ["2048", "logits_unbiased"], feature_extractor_weights_path=path)
    for size in (32, 330):
        pixels = images(1, 3, size)
        expected, logits = network(pixels)
        features, probabilities = spaces["inception-tensorflow"](pixels)
        assert (features - expected).norm() < 1e-4 * expected.norm()
        assert torch.allclose(probabilities, logits.softmax(1), rtol=1e-2, atol=0)


def test_grey_is_repeated(spaces: dict[str, PretrainedSpace]) -> None:
    pixels, space = images(1, 1, 28), spaces["inception-pytorch"]
    assert torch.equal(space(pixels)[0], space(pixels.repeat(1, 3, 1, 1))[0])


def test_streamed_in_batches_that_change_only_the_rounding(spaces: dict[str, PretrainedSpace]) -> None:
    pixels, sizes = images(3, 3, 16), []
    space = spaces["inception-clean"]

    def seen(x: Tensor) -> Tensor:
        sizes.append(len(x))
        return space.extract(x)

    whole = space(pixels)
    parts = dataclasses.replace(space, extract=seen)(pixels, batch=2)
    assert sizes == [2, 1]
    for part, expected in zip(parts, whole, strict=True):
        assert torch.allclose(part, expected, rtol=1e-4, atol=1e-5)
    assert space(pixels[:0])[0].shape == (0, 2048)


@pytest.mark.parametrize(
    "pixels",
    [
        torch.zeros(1, 2, 8, 8, dtype=torch.uint8),
        torch.zeros(1, 4, 8, 8, dtype=torch.uint8),
        torch.zeros(3, 8, 8, dtype=torch.uint8),
        torch.zeros(1, 3, 8, 8),
    ],
)
def test_other_images_are_refused(pixels: Tensor, spaces: dict[str, PretrainedSpace]) -> None:
    with pytest.raises(DataError, match=r"\[N, 1, S, S\] or \[N, 3, S, S\]; given: (uint8|float32) \["):
        spaces["inception-clean"](pixels)


def test_other_arguments_are_refused(files: Files, spaces: dict[str, PretrainedSpace]) -> None:
    with pytest.raises(ConfigError, match="did you mean 'inception-clean'"):
        inception_space("inception-cleen", "cpu", files.cache)
    with pytest.raises(ConfigError, match="batch is 0"):
        spaces["inception-clean"](images(1, 3, 8), batch=0)


def test_identity(files: Files, spaces: dict[str, PretrainedSpace]) -> None:
    identities = {space.identity for space in spaces.values()}
    assert len(identities) == 3 and all(len(identity) == 64 for identity in identities)
    again: FeatureSpace = inception_space("inception-clean", "cpu", files.cache, files.weights("inception-clean"))
    assert again.identity == spaces["inception-clean"].identity
    assert (again.name, again.dimension, again.accuracy) == ("inception-clean", 2048, None)
    assert not again.labelled and len({space.resizing for space in spaces.values()}) == 3


@pytest.mark.parametrize("mode", MODES)
def test_another_file_is_never_opened_by_torch(
    mode: str, files: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One flipped byte: the file would load, and its code run."""
    weights = files.weights(mode)
    content = bytearray((files.cache / "inception" / weights.file).read_bytes())
    content[-1] ^= 1
    (tmp_path / "inception").mkdir()
    (tmp_path / "inception" / weights.file).write_bytes(content)
    opened: list[object] = []
    monkeypatch.setattr(torch.jit, "load", lambda *a, **k: opened.append(a))
    monkeypatch.setattr(torch, "load", lambda *a, **k: opened.append(a))
    with pytest.raises(WeightsError, match="SHA-256"):
        inception_space(mode, "cpu", tmp_path, weights)
    with pytest.raises(WeightsError, match="make weights"):
        inception_space(mode, "cpu", tmp_path / "missing")
    assert opened == []


def test_building_leaves_the_process_as_it_was(files: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No shared folder, no network, no global of clean-fid, torch or warnings."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr(torch.hub, "download_url_to_file", lambda *a, **k: pytest.fail("download"))
    monkeypatch.setattr(cleanfid_features, "check_download_url", lambda *a, **k: pytest.fail("download"))
    loader, state = inception_pytorch.load_state_dict_from_url, torch.get_rng_state()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        filters = list(warnings.filters)
        for mode in MODES:
            inception_space(mode, "cpu", files.cache, files.weights(mode))
        assert list(warnings.filters) == filters
    assert inception_pytorch.load_state_dict_from_url is loader
    assert torch.equal(torch.get_rng_state(), state)
    assert list(tmp_path.iterdir()) == []


def test_a_state_of_another_network_puts_the_loader_back(tmp_path: Path) -> None:
    loader = inception_pytorch.load_state_dict_from_url
    (tmp_path / "inception").mkdir()
    path = tmp_path / "inception" / STATE_DICT.file
    torch.save({"fc.weight": torch.zeros(1)}, path)
    with pytest.raises(RuntimeError, match="Missing key"):
        inception_space("inception-pytorch", "cpu", tmp_path, described(path, STATE_DICT))
    assert inception_pytorch.load_state_dict_from_url is loader


def test_torch_fidelitys_name_of_the_same_file(
    files: Files, tmp_path: Path, spaces: dict[str, PretrainedSpace]
) -> None:
    (tmp_path / "inception").mkdir()
    (alias,) = STATE_DICT.aliases
    (tmp_path / "inception" / alias).symlink_to(files.cache / "inception" / STATE_DICT.file)
    space = inception_space("inception-pytorch", "cpu", tmp_path, files.weights("inception-pytorch"))
    pixels = images(1, 3, 16)
    assert torch.equal(space(pixels)[0], spaces["inception-pytorch"](pixels)[0])
    assert space.identity == spaces["inception-pytorch"].identity
