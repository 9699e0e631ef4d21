"""Training in pieces against a pass of the whole batch."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from baselines.igebm import IGEBM
from baselines.plain import PlainEBM
from clel.data import ImageSpec
from clel.methods.clel import CLEL
from clel.networks.energy_network import EnergyNetwork, NetworkConfig
from clel.networks.pieces import InPieces

SPEC = ImageSpec(1, 8, (0.3,), (0.35,))


def network() -> EnergyNetwork:
    torch.manual_seed(0)
    return EnergyNetwork(NetworkConfig((4, 8), 1, hidden=16, features=4), SPEC).double().train()


def images(n: int = 7) -> Tensor:
    return torch.rand(n, 1, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def passed(call: Any, of: nn.Module, x: Tensor) -> list[Tensor]:
    """Outputs, the gradients of all weights that have one, and the buffers afterwards."""
    y = call(x)
    weights = torch.arange(1.0, len(x) + 1, dtype=x.dtype)[:, None]
    (weights * y.square()).sum().backward()
    gradients = [p.grad for p in of.parameters() if p.grad is not None]
    return [y.detach(), *gradients, *of.buffers()]  # type: ignore[list-item]


def test_outputs_gradients_and_power_iterations_are_those_of_the_whole_batch() -> None:
    whole, parts = network(), network()
    pieces = InPieces(parts, 3)
    for _ in range(2):  # in the second pass the first one's weights would be old
        expected, found = passed(whole, whole, images()), passed(pieces, parts, images())
        assert len(found) == len(expected) > 10
        for a, b in zip(found, expected, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-12)
        with torch.no_grad():
            for p in [*whole.parameters(), *parts.parameters()]:
                p.mul_(1.1)


def test_one_piece_is_computed_at_a_time() -> None:
    net, sizes = network(), []
    pieces = InPieces(net, 3)
    pieces.view.network.register_forward_pre_hook(lambda module, inputs: sizes.append(len(inputs[0])))
    y = pieces(images())
    assert sizes == [3, 3, 1]
    y.sum().backward()
    assert sizes == [3, 3, 1] * 2 or sizes == [3, 3, 1, 1, 3, 3]


def test_no_activation_is_kept() -> None:
    """Of the tensors saved for the backward pass none is as large as an activation of the batch."""
    saved: list[int] = []

    def pack(tensor: Tensor) -> Tensor:
        saved.append(tensor.numel())
        return tensor

    net, x = network(), images(64)
    pieces, activation = InPieces(net, 16), 64 * 4 * 8 * 8
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t):
        net(x)
        assert max(saved) >= activation
        saved.clear()
        pieces(x)
    assert max(saved, default=0) < activation // 4


@pytest.mark.parametrize("energy", ["norm", "head"])
def test_the_plain_ebm_in_pieces_has_the_same_loss(energy: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    config = PlainEBM.recipe("quick").config
    config = replace(config, engine="float32", network=replace(config.network, energy=energy))  # type: ignore[type-var]
    whole, parts = (PlainEBM.build(config, SPEC, 0) for _ in range(2))
    parts.widest = 32 * 8 * 8
    switches = replace(parts.switches, training_piece=16 * 4 * parts.widest)
    monkeypatch.setattr(PlainEBM, "switches", switches)
    assert isinstance(parts.trained_network(), InPieces)
    x = torch.rand(whole.images_per_step, *SPEC.shape, generator=torch.Generator().manual_seed(1))
    expected, found = (m.training_step(x, torch.Generator().manual_seed(2)) for m in (whole, parts))
    torch.testing.assert_close(found["loss"], expected["loss"], rtol=1e-4, atol=1e-5)


def clel(engine: str, piece: int, monkeypatch: pytest.MonkeyPatch) -> CLEL:
    """Quick's, with batches of 64 + 64 images, of which the largest activation has 32 x 8 x 8 values."""
    method = CLEL.build(replace(CLEL.recipe("quick").config, engine=engine), SPEC, 0)  # type: ignore[type-var]
    monkeypatch.setattr(CLEL, "switches", replace(method.switches, training_piece=piece))
    return method  # type: ignore[return-value]


@pytest.mark.parametrize(("engine", "piece", "cut"), [("float32", 0, 0), ("fast", 1 << 20, 0), ("fast", 1 << 16, 1)])
def test_clel_trains_in_pieces_of_large_batches(
    engine: str, piece: int, cut: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    method = clel(engine, piece, monkeypatch)
    network = method.trained_network()
    if cut:
        assert isinstance(network, InPieces) and network is method.trained_network()
        assert network.images in (8, 16)  # by the number format that this machine's fast engine has
    else:
        assert network is method.network
    assert not any("view" in name for name in method.state_dict())


@pytest.mark.parametrize("kind", [PlainEBM, IGEBM])
def test_other_batches_stay_whole(kind: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    method = kind.build(replace(kind.recipe("quick").config, engine="fast"), SPEC, 0)
    monkeypatch.setattr(kind, "switches", replace(method.switches, training_piece=1 << 16))
    assert method.trained_network() is method.network


@pytest.mark.parametrize("layer", [nn.BatchNorm2d(1), nn.Dropout(0.1)])
def test_layers_that_mix_a_batch_are_noticed(layer: nn.Module, monkeypatch: pytest.MonkeyPatch) -> None:
    method = clel("fast", 1 << 16, monkeypatch)
    assert isinstance(method.trained_network(), InPieces)
    method.network.extra = layer
    assert method.trained_network() is method.network
