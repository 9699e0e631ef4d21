"""A frozen backbone: what it is given, that nothing moves it, and what is refused."""

from __future__ import annotations

import copy
import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from clel.config import ConfigError, identity
from clel.data import ImageSpec
from clel.methods.clel import CLEL
from clel.networks.encoder import Encoder, EncoderConfig
from clel.networks.frozen_backbone import Frozen, content_of, frozen_backbone
from clel.networks.lite0 import lite0_network

GREY = ImageSpec(1, 8, (0.3,), (0.35,))


class Given(nn.Module):
    """Remembers what it was given; two features an image."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 2)
        self.norm = nn.BatchNorm1d(2)
        self.seen = torch.zeros(0)

    def forward(self, x: Tensor) -> Tensor:
        self.seen = x
        return self.norm(self.layer(x.mean((2, 3))))


def test_images_as_the_network_was_trained_with() -> None:
    """Resized, clipped, three channels, normalised; features without a gradient."""
    network = Given()
    frozen = Frozen(network, 12, ((0.5, 0.4, 0.3), (0.2, 0.3, 0.4)))
    x = torch.rand(2, 1, 8, 8, requires_grad=True)
    assert not frozen(x).requires_grad
    resized = F.interpolate(x.detach(), (12, 12), mode="bicubic", antialias=True).clamp(0, 1)
    for k, (mean, std) in enumerate(((0.5, 0.2), (0.4, 0.3), (0.3, 0.4))):
        torch.testing.assert_close(network.seen[:, k], (resized[:, 0] - mean) / std)


def test_the_network_is_no_part_of_the_state_and_goes_where_the_module_goes() -> None:
    frozen = Frozen(Given(), 12).train()
    assert not list(frozen.parameters()) and not frozen.state_dict()
    network: Any = frozen.network
    assert not network.training and not network.norm.training
    before = network.norm.running_mean.clone()
    frozen(torch.rand(4, 3, 8, 8))
    assert torch.equal(network.norm.running_mean, before)
    assert frozen.double().network.layer.weight.dtype == torch.float64  # type: ignore[union-attr]
    assert copy.deepcopy(frozen).network is not frozen.network


def test_lite0_by_name() -> None:
    """The features of the space that distances are measured in, of the same images."""
    frozen, width = frozen_backbone("lite0", 32)
    x = torch.rand(2, 3, 32, 32)
    assert width == 1280
    torch.testing.assert_close(frozen(x), lite0_network()((255 * x - 127) / 128), rtol=1e-4, atol=1e-5)


def weights_of(path: Path, **other: Any) -> tuple[str, str]:
    """A file with weights of torchvision's smallest, and its SHA-256."""
    from torchvision.models import squeezenet1_1

    torch.manual_seed(1)
    network = squeezenet1_1()
    torch.save({"model": network.state_dict() | other}, path)
    return str(path), hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.slow
def test_a_torchvision_model_with_the_weights_of_a_file(tmp_path: Path) -> None:
    path, content = weights_of(tmp_path / "weights.pth")
    first, width = frozen_backbone("torchvision:squeezenet1_1", 32, path, content[:12])
    again, _ = frozen_backbone("torchvision:squeezenet1_1", 32, path, content)
    x = torch.rand(2, 3, 32, 32)
    assert width == first(x).shape[1] and torch.equal(first(x), again(x))
    torch.manual_seed(1)
    held = torch.load(path)["model"]["features.0.weight"]
    network: Any = first.network
    assert torch.equal(network.features[0].weight, held)


def test_what_is_refused(tmp_path: Path) -> None:
    path, content = weights_of(tmp_path / "weights.pth")
    (tmp_path / "text").write_text("no weights")
    for arguments, message in [
        (("lite1", 32), "did you mean 'lite0'"),
        (("torchvision", 32), "expected lite0, torchvision:NAME"),
        (("lite0", 33), "takes a multiple of 32"),
        (("torchvision:resnet19", 32), "did you mean 'resnet18'"),
        (("timm:no_such_model", 32), "timm"),
        (("torchvision:resnet18", 32, path, content), "weights of another network; missing or of another shape"),
        (("torchvision:squeezenet1_1", 32, path, "00"), "the settings say 00"),
        (("torchvision:squeezenet1_1", 32, str(tmp_path / "none"), ""), "there is no file"),
        (("torchvision:squeezenet1_1", 32, str(tmp_path / "text"), ""), "not a file of weights"),
        (("torchvision:squeezenet1_1", 2, path, content), "does not take images of side 2"),
    ]:
        with pytest.raises(ConfigError, match=message):
            frozen_backbone(*arguments)  # type: ignore[arg-type]
    for changes in ({"side": 64}, {"backbone": "timm:x"}, {"kind": "frozen", "weights": "x"}):
        with pytest.raises(ConfigError):
            EncoderConfig(**changes)  # type: ignore[arg-type]


def test_the_encoder_trains_its_mlp_alone(tmp_path: Path) -> None:
    torch.manual_seed(0)
    encoder = Encoder(EncoderConfig("frozen", hidden=8, features=6, side=32), GREY)
    assert {name.partition(".")[0] for name, _ in encoder.named_parameters()} == {"head"}
    h = encoder(torch.rand(4, 1, 8, 8))
    assert h.shape == (4, 6)
    h.sum().backward()
    assert all(p.grad is not None for p in encoder.parameters())


def test_a_file_is_named_by_its_content(tmp_path: Path) -> None:
    """A run has one name wherever the file lies, and however many digits of its content were given."""
    path, content = weights_of(tmp_path / "weights.pth")
    config = CLEL.recipe("quick").config

    def named(place: str, digits: str) -> Any:
        encoder = EncoderConfig("frozen", hidden=256, features=64, backbone="torchvision:squeezenet1_1")
        return CLEL.settled(replace(config, encoder=replace(encoder, weights=place, content=digits)))

    (tmp_path / "other.pth").write_bytes(Path(path).read_bytes())
    assert identity(named(path, content[:6])) == identity(named(str(tmp_path / "other.pth"), content))
    assert content_of(Path(path)) == content
    with pytest.raises(ConfigError, match=r"encoder.content is 1234"):
        named(path, "1234")
