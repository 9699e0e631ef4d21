"""The VAE's and VAEBM's training passes as `paper` has them: flips, bfloat16, activations computed again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from baselines import METHODS
from baselines.vae.cells import DecoderCell, EncoderCell, ResidualCell, multiply_in
from baselines.vae.config import VAEConfig
from baselines.vae.network import VAENetworkConfig
from baselines.vae.vae import VAE
from baselines.vaebm.noise_langevin import noise_langevin
from baselines.vaebm.vaebm import VAEBM
from clel import TrainConfig, Trainer
from clel.config import differences, identity, to_dict
from clel.data import ImageSpec
from clel.networks.recompute import recompute
from clel.random import stream
from clel.storage import checkpoint
from experiments.sweep.peak import Peak
from tests.baselines.vaebm import test_vaebm as vaebm
from tests.clel.training.test_trainer import equal, final_state, log
from tests.clel.training.trainer_process import small_images

CPU = torch.device("cpu")
GREY8 = ImageSpec(1, 8, (0.3,), (0.3,))
CONFIG = VAEConfig(
    network=VAENetworkConfig(width=8, groups=(1, 2), latents=2, cells=2, expansion=2), batch_size=6, kl_warmup=10
)
FULL = {"flip": True, "precision": "bfloat16", "recompute": True}


def build(**changes: Any) -> VAE:
    method = VAE.build(replace(CONFIG, **changes), GREY8, seed=0)
    assert isinstance(method, VAE)
    return method.train()


def images(n: int = 6) -> Tensor:
    return torch.rand(n, 1, 8, 8, generator=stream("cpu", 1))


def one_step(method: VAE) -> dict[str, Tensor]:
    """A training step and its backward pass, everything in the method's own number format."""
    method.terms = lambda x, noise: VAE.terms(method, x.to(method.network.constant), noise)  # type: ignore[method-assign]
    method.noise = lambda n, g: [e.to(method.network.constant) for e in VAE.noise(method, n, g)]  # type: ignore[method-assign]
    losses = method.training_step(images(), stream("cpu", 2))
    losses["loss"].backward()
    return losses


def gradients(method: nn.Module) -> dict[str, Tensor]:
    return {name: p.grad for name, p in method.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_recomputed_cells_have_the_same_gradients_and_move_their_statistics_once(precision: str) -> None:
    """In float64 and, the same roundings twice, with bfloat16: to the last bit."""
    kind = torch.float64 if precision == "float32" else torch.float32
    methods = [build(precision=precision, recompute=on).to(kind) for on in (False, True)]
    losses = [one_step(method)["loss"] for method in methods]
    assert losses[0].dtype == kind and torch.equal(*losses)
    kept, again = (gradients(method) for method in methods)
    assert len(kept) == len(list(methods[0].parameters())) and kept.keys() == again.keys()
    assert all(torch.equal(kept[name], again[name]) for name in kept)
    assert equal(methods[0].state_dict(), methods[1].state_dict())
    norms = [m for m in methods[1].modules() if isinstance(m, nn.BatchNorm2d)]
    assert all(int(m.num_batches_tracked) == 1 and m.momentum == 0.05 for m in norms)
    # the first norm of all sees the stem's output: 0.95 of what it was, 0.05 of the batch's mean
    first = methods[1].network.outer_encoder[0].branch[0]  # type: ignore[index, union-attr]
    with torch.no_grad():
        seen = methods[1].network.stem(2 * images().to(kind) - 1).mean((0, 2, 3))  # type: ignore[operator]
    torch.testing.assert_close(first.running_mean, 0.05 * seen)


@pytest.mark.parametrize("kind", [EncoderCell, DecoderCell])
def test_between_the_passes_a_cell_holds_its_input_alone(kind: type[ResidualCell]) -> None:
    """k cells of 4 x 8 x 6 x 6 floats: their k outputs, the first input being ours."""
    torch.manual_seed(0)
    more = (True, True) if kind is EncoderCell else (3, True, True)
    cells = nn.Sequential(*(kind(8, "same", *more) for _ in range(5)))  # type: ignore[arg-type]
    x = torch.rand(4, 8, 6, 6, requires_grad=True)
    held = []
    for on in (False, True):
        recompute(cells, on)
        with Peak(CPU) as peak:
            y = cells(x)
            y.detach()  # one more operation, after which what the last cell needed is gone
            held.append(peak.course[-1])
        y.sum().backward()
    assert held[1] == 5 * x.nbytes
    assert held[0] > 3 * held[1]


@pytest.mark.parametrize(
    ("kind", "resize"),
    [(EncoderCell, "same"), (EncoderCell, "down"), (DecoderCell, "same"), (DecoderCell, "up")],
)
def test_a_cell_in_bfloat16_keeps_what_it_passes_on_in_float32(kind: type[ResidualCell], resize: Any) -> None:
    """Convolutions in bfloat16, on float32 weights; against float32 within 2 % of the output's size."""
    torch.manual_seed(0)
    more = (True, True) if kind is EncoderCell else (3, True, True)
    cell = kind(8, resize, *more)  # type: ignore[arg-type]
    x = torch.rand(4, 8, 6, 6)
    exact = cell(x).detach()
    multiply_in(nn.Sequential(cell), torch.bfloat16)
    kinds: set[torch.dtype] = set()
    for layer in cell.modules():
        if isinstance(layer, nn.Conv2d):
            layer.register_forward_hook(lambda layer, _, y: kinds.update({y.dtype}))
            layer.register_forward_hook(lambda layer, _i, _o: kinds.update({layer.weight.dtype} - {torch.float32}))
    rounded = cell(x).detach()
    assert kinds == {torch.bfloat16} and rounded.dtype == torch.float32
    assert float((rounded - exact).abs().max()) < 0.02 * float(exact.abs().max())
    assert not torch.equal(rounded, exact)
    cell.eval()
    kinds.clear()
    cell(x)
    assert kinds == {torch.float32}


def test_bfloat16_s_loss_is_float32_s_within_a_bound() -> None:
    """Negative ELBO within 1 %, gradients within 8 degrees; the penalty on weights is the same, since they are."""
    exact, rounded = build(), build(precision="bfloat16")
    heads: set[torch.dtype] = set()
    for group in rounded.network.groups:
        group.posterior.register_forward_hook(lambda *given: heads.add(given[2].dtype))  # type: ignore[union-attr]
        group.absorb.register_forward_hook(lambda *given: heads.add(given[2].dtype))  # type: ignore[union-attr]
    a, b = one_step(exact), one_step(rounded)
    assert heads == {torch.float32} and b["loss"].dtype == b["kl"].dtype == torch.float32
    assert torch.equal(a["spectral"], b["spectral"])
    assert not torch.equal(a["negative_elbo"], b["negative_elbo"])
    torch.testing.assert_close(a["negative_elbo"], b["negative_elbo"], rtol=0.01, atol=0)
    x, y = (torch.cat([g.flatten() for g in gradients(method).values()]) for method in (exact, rounded))
    assert float(torch.cosine_similarity(x, y, dim=0)) > 0.99


def test_what_is_evaluated_is_float32_s() -> None:
    exact, rounded = build().eval(), build(**FULL).eval()
    assert torch.equal(exact.energy(images()), rounded.energy(images()))
    assert torch.equal(exact.sample(2, stream("cpu", 3)), rounded.sample(2, stream("cpu", 3)))


def seen_by(network: nn.Module) -> list[Tensor]:
    """The batches that a network is called on from now on."""
    found: list[Tensor] = []
    network.register_forward_pre_hook(lambda _, inputs: found.append(inputs[0].detach().clone()))
    return found


def mirrored(x: Tensor, y: Tensor) -> int:
    """How many images of y are those of x mirrored; all others are those of x."""
    flipped = [bool(torch.equal(b, a.flip(2))) for a, b in zip(x, y, strict=True)]
    kept = [bool(torch.equal(b, a)) for a, b in zip(x, y, strict=True)]
    assert all(one != other for one, other in zip(flipped, kept, strict=True))
    return sum(flipped)


@pytest.mark.parametrize("on", [False, True])
def test_half_of_the_vae_s_images_are_mirrored(on: bool) -> None:
    method, x = build(flip=on, batch_size=200), images(200)
    seen = seen_by(method.network)
    method.training_step(x, stream("cpu", 4))
    count = mirrored(x, seen[0])
    assert (70 < count < 130) if on else count == 0


@pytest.mark.parametrize("on", [False, True])
def test_half_of_stage_two_s_real_images_are_mirrored(on: bool) -> None:
    """Those of E's training pass, and those that it is initialised from."""
    method = vaebm.build(replace(vaebm.SMALL, batch_size=100, vae_batch_size=200, flip=on)).train()
    x, seen = images(200), seen_by(method.network)
    method.enter_stage(1, dict(method.named_parameters()), x, stream("cpu", 0))
    method.training_step(x, stream("cpu", 4))
    first, last = mirrored(x, seen[0]), mirrored(x[:100], seen[-1][:100])
    assert (70 < first < 130 and 30 < last < 70) if on else first + last == 0


def test_chains_through_a_recomputed_decoder_are_the_same() -> None:
    """VAEBM's chains in float64, to the last bit, in less memory."""
    found, peaks = [], []
    network = replace(CONFIG.network, outer_cells=3)
    for on in (False, True):
        settings = replace(vaebm.TINY, network=network, recompute=on, precision="bfloat16" if on else "float32")
        method = vaebm.in_stage_two(replace(vaebm.SMALL, vae=settings)).train().double()
        energy = method.chain_energy()
        eps = method.new_noise(8, stream("cpu", 5)).double()
        with Peak(CPU) as peak:
            found.append(noise_langevin(energy, eps, method.config.langevin, stream("cpu", 6)))
        peaks.append(peak.bytes)
    assert torch.equal(*found)
    assert peaks[1] < 0.6 * peaks[0]


@pytest.mark.parametrize("name", ["vae", "vaebm"])
def test_a_stop_changes_nothing_with_all_of_it(name: str, tmp_path: Path) -> None:
    data, train = small_images(), TrainConfig(iterations=6, ema_half_life=8.0, checkpoint_every=2, log_every=1)
    vae = replace(vaebm.TINY, **FULL)

    def trainer(folder: str) -> Trainer:
        config: Any = VAEConfig(**vars(vae), batch_size=6)
        if name == "vaebm":
            config = replace(vaebm.SMALL, vae=vae, flip=True)
        return Trainer(METHODS[name].build(config, data.spec, 0), data, train, tmp_path / folder)

    trainer("whole").run()
    for at in (2, 3, 5):
        vaebm.stop(trainer("stopped"), at)
        assert checkpoint.latest(tmp_path / "stopped" / "checkpoints") is not None
    trainer("stopped").run()
    assert equal(final_state(tmp_path / "whole"), final_state(tmp_path / "stopped"))
    assert log(tmp_path / "whole") == log(tmp_path / "stopped")


def test_presets() -> None:
    """Natural images are mirrored, digits are not; `paper` has what brings it within one GPU."""
    for preset, flip, full in (("quick", False, False), ("small", True, False), ("paper", True, True)):
        alone, both = VAE.recipe(preset).config, VAEBM.recipe(preset).config
        assert (alone.flip, both.vae.flip, both.flip) == (flip,) * 3
        for settings in (alone, both.vae):
            assert (settings.precision, settings.recompute) == (("bfloat16", True) if full else ("float32", False))


@pytest.mark.parametrize("option", ["flip", "precision", "recompute"])
def test_a_run_that_does_without_an_option_keeps_its_name(option: str) -> None:
    assert option in to_dict(CONFIG)
    other = replace(CONFIG, **{option: FULL[option]})
    assert identity(other) != identity(CONFIG)
    assert differences(CONFIG, other) == [f"{option}: absent -> {FULL[option]}"]
