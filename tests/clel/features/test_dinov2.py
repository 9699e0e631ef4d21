"""DINOv2's feature spaces, on random weights in the format of the published files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from clel.config import ConfigError
from clel.features.__main__ import main
from clel.features.dinov2 import dinov2_space, first_seen, positions, resize
from clel.features.names import NAMES
from clel.features.spaces import FEATURES
from clel.networks.weights import WeightsError

D = 384


def write_state(cache: Path) -> Path:
    """A state as Meta's file of ViT-S/14 has it: positions of 518 pixels, a mask token, 12 blocks."""
    generator = torch.Generator().manual_seed(0)

    def of(*shape: int) -> Tensor:
        return 0.02 * torch.randn(shape, generator=generator)

    state = {"cls_token": of(1, 1, D), "pos_embed": of(1, 1 + 37**2, D), "mask_token": of(1, D)}
    state |= {"patch_embed.proj.weight": of(D, 3, 14, 14), "patch_embed.proj.bias": of(D)}
    shapes = {"attn.qkv": (3 * D, D), "attn.proj": (D, D), "mlp.fc1": (4 * D, D), "mlp.fc2": (D, 4 * D)}
    for block in range(12):
        place = f"blocks.{block}"
        for layer in ("norm1", "norm2"):
            state |= {f"{place}.{layer}.weight": 1 + of(D), f"{place}.{layer}.bias": of(D)}
        for layer, shape in shapes.items():
            state |= {f"{place}.{layer}.weight": of(*shape), f"{place}.{layer}.bias": of(shape[0])}
        state |= {f"{place}.ls1.gamma": 1 + of(D), f"{place}.ls2.gamma": 1 + of(D)}
    state |= {"norm.weight": 1 + of(D), "norm.bias": of(D)}
    path = cache / "dinov2/dinov2_vits14_pretrain.pth"
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(state, path)
    return path


def by_hand(state: dict[str, Tensor], x: Tensor) -> Tensor:
    """The published network's CLS token, from its equations (Dosovitskiy et al. 2021, with layer scale)."""
    F = torch.nn.functional

    def linear(h: Tensor, name: str) -> Tensor:
        return h @ state[f"{name}.weight"].T + state[f"{name}.bias"]

    def norm(h: Tensor, name: str) -> Tensor:
        return F.layer_norm(h, (D,), state[f"{name}.weight"], state[f"{name}.bias"], 1e-6)

    h = F.conv2d(x, state["patch_embed.proj.weight"], state["patch_embed.proj.bias"], 14).flatten(2).mT
    h = torch.cat([state["cls_token"].expand(len(h), -1, -1), h], 1) + positions(state["pos_embed"], 16)
    for block in range(12):
        place = f"blocks.{block}"
        q, k, v = linear(norm(h, f"{place}.norm1"), f"{place}.attn.qkv").unflatten(2, (3, 6, 64)).permute(2, 0, 3, 1, 4)
        mixed = ((q @ k.mT / 8).softmax(-1) @ v).transpose(1, 2).flatten(2)
        h = h + state[f"{place}.ls1.gamma"] * linear(mixed, f"{place}.attn.proj")
        wide = F.gelu(linear(norm(h, f"{place}.norm2"), f"{place}.mlp.fc1"))
        h = h + state[f"{place}.ls2.gamma"] * linear(wide, f"{place}.mlp.fc2")
    return norm(h, "norm")[:, 0]


def test_features_are_those_of_the_equations(tmp_path: Path) -> None:
    pytest.importorskip("timm", reason="timm, the optional extra dinov2, is not installed")
    state = torch.load(write_state(tmp_path), weights_only=True)
    space = dinov2_space("dinov2-vits14", "cpu", tmp_path)
    pixels = torch.randint(0, 256, (2, 3, 16, 16), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    features, probabilities = space(pixels)
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    expected = by_hand(state, (resize(pixels) / 255 - mean[:, None, None]) / std[:, None, None])
    assert features.shape == (2, D) and probabilities.shape == (2, 0)
    assert (features - expected).norm() < 1e-4 * expected.norm()
    assert (features[0] - features[1]).norm() > 1e-3 * features[0].norm()
    assert dinov2_space("dinov2-vits14", "cpu", tmp_path).identity == space.identity


def test_resizing_is_pillows(tmp_path: Path) -> None:
    pixels = torch.arange(3 * 20 * 20).reshape(1, 3, 20, 20).remainder(256).to(torch.uint8)
    image = Image.fromarray(pixels[0].permute(1, 2, 0).numpy()).resize((224, 224), Image.Resampling.BICUBIC)
    assert np.array_equal(resize(pixels)[0].permute(1, 2, 0).numpy(), np.asarray(image))
    assert resize(pixels[:0]).shape == (0, 3, 224, 224)


def test_positions_stay_where_the_grid_is_the_same_size() -> None:
    """The scale is then (M + 0.1) / M, which moves every position by little."""
    embedding = torch.linspace(0, 1, 1 + 16**2)[None, :, None]
    moved = positions(embedding, 16)
    assert moved.shape == embedding.shape and moved[0, 0] == embedding[0, 0]
    assert (moved - embedding).abs().max() < 0.05
    assert positions(torch.randn(1, 1 + 37**2, 4), 16).shape == (1, 257, 4)


def test_a_file_that_changes_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "w.pth"
    path.write_bytes(b"one")
    digest = first_seen(path)
    assert digest in capsys.readouterr().err and first_seen(path) == digest and capsys.readouterr().err == ""
    path.write_bytes(b"two")
    with pytest.raises(WeightsError, match=r"another file than at its first use(.|\n)*delete"):
        first_seen(path)


def test_what_is_missing_is_said(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"dinov2_vitl14_pretrain\.pth are not in .*make weights FEATURES=dinov2"):
        dinov2_space("dinov2-vitl14", "cpu", tmp_path)
    with pytest.raises(ConfigError, match="did you mean 'dinov2-vits14'"):
        dinov2_space("dinov2-vits", "cpu", tmp_path)
    assert {"dinov2-vitl14", "dinov2-vits14"} <= FEATURES.keys()


def test_without_a_network_the_command_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refused(*_: object) -> None:
        raise OSError("no route")

    monkeypatch.setattr(torch.hub, "download_url_to_file", refused)
    assert main(["--features", "dinov2-vits14", "--cache", str(tmp_path)]) == 1
    assert "no route" in capsys.readouterr().err
    path = write_state(tmp_path)
    assert main(["--features", "dinov2-vits14", "--cache", str(tmp_path)]) == 0
    assert str(path) in capsys.readouterr().out


def test_every_space_has_its_name_where_settings_look_it_up() -> None:
    assert tuple(FEATURES) == NAMES
