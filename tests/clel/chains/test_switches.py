"""Engines: what they come down to, and that fast gives what exact gives within the rounding of its number format."""

from __future__ import annotations

import weakref
from dataclasses import fields, replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from baselines import METHODS
from baselines.igebm import IGEBM
from baselines.plain import PlainConfig, PlainEBM
from clel.chains.energy import Energy
from clel.chains.langevin import LangevinConfig, langevin
from clel.chains.switches import Switches, stated, switches
from clel.config import ConfigError, from_dict, to_dict
from clel.data import ImageSpec
from clel.data.augment import NONE
from clel.machine import processor
from clel.methods.clel import CLEL
from clel.methods.spherical_energy import norm_energy
from clel.networks.energy_network import EnergyNetwork
from clel.networks.recompute import RecomputedStage, recompute

SPEC = ImageSpec(1, 8, (0.3,), (0.35,))
ENGINES = ("exact", "float32", "bfloat16", "fast")
CHAIN = LangevinConfig(steps=4, step_size=0.5, noise=0.01)


@pytest.fixture(autouse=True)
def _bfloat16(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same on every machine: bfloat16 is emulated where it is not native."""
    monkeypatch.setattr(processor, "cpu_flags", lambda: frozenset({"amx_bf16"}))


def build(kind: Any, engine: str, views: bool = False, **changes: Any) -> Any:
    """A quick method with energies of order 1 and known chains."""
    config = kind.recipe("quick").config
    if kind is CLEL and not views:
        changes |= {"views": NONE}
    method = kind.build(replace(config, engine=engine, langevin=replace(CHAIN), batch_size=16, **changes), SPEC)
    method.reset_chains(torch.Generator().manual_seed(0))
    if kind is not IGEBM:
        with torch.no_grad():
            for layer in (0, 2):
                method.network.head[layer].weight.mul_(10)
    return method.train()


def images(n: int = 16) -> Tensor:
    coarse = torch.rand(n, 1, 4, 4, generator=torch.Generator().manual_seed(1))
    return F.interpolate(coarse, size=8, mode="bicubic").clamp(0, 1)


def seeded() -> torch.Generator:
    return torch.Generator().manual_seed(2)


def test_values_and_default() -> None:
    """All four names are accepted. The default is part of runs' identities: changing it renames every run."""
    assert PlainConfig().engine == "fast"
    for engine in ENGINES:
        assert from_dict(PlainConfig, to_dict(PlainConfig()) | {"engine": engine}).engine == engine
    with pytest.raises(ConfigError):
        from_dict(PlainConfig, to_dict(PlainConfig()) | {"engine": "quick"})


def test_what_engines_come_down_to(monkeypatch: pytest.MonkeyPatch) -> None:
    cpu, gpu = torch.device("cpu"), torch.device("cuda")
    assert switches("exact", cpu) == Switches(frozen=False)
    assert switches("float32", cpu) == Switches()
    assert switches("bfloat16", cpu) == Switches(chain_dtype=torch.bfloat16)
    assert switches("fast", cpu).chain_dtype == torch.bfloat16 and switches("fast", cpu).graph_steps == 0
    assert stated("fast", cpu) == "fast (bfloat16)" and stated("exact", cpu) == "exact"
    monkeypatch.setattr(processor, "cpu_flags", frozenset)
    assert switches("fast", cpu).training_dtype == torch.float32
    assert stated("fast", cpu) == "fast (float32)" and stated("float32", cpu) == "float32"
    for capability, dtype in (((7, 5), torch.float32), ((8, 0), torch.bfloat16)):
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device, c=capability: c)
        assert switches("fast", gpu).chain_dtype == dtype and switches("fast", gpu).graph_steps > 0


@pytest.mark.parametrize("kind", [PlainEBM, CLEL, IGEBM])
@pytest.mark.parametrize("engine", ENGINES)
def test_the_same_seed_gives_the_same_samples(kind: Any, engine: str) -> None:
    a, b = (build(kind, engine).eval().sample(4, seeded()) for _ in range(2))
    assert torch.equal(a, b) and a.dtype == torch.float32
    assert not torch.equal(a, build(kind, engine).eval().sample(4, torch.Generator().manual_seed(3)))


def test_exact_is_the_naive_loop() -> None:
    """The live network in every step, a power iteration each, which leaves the very same u and v."""
    method, twin = build(PlainEBM, "exact"), build(PlainEBM, "exact")
    own = langevin(method.frozen_energy(), images(), CHAIN, seeded())
    x, generator = images(), seeded()
    for _ in range(CHAIN.steps):
        gradient = Energy(lambda y: norm_energy(twin.network(y))).gradient(x)
        x = x - CHAIN.step_size * gradient
        x = (x + CHAIN.noise * torch.empty_like(x).normal_(generator=generator)).clamp(0, 1)
    torch.testing.assert_close(own, x, rtol=0, atol=1e-6)
    vectors = {n: b for n, b in method.network.named_buffers() if "parametrizations" in n}
    assert vectors and all(torch.equal(b, twin.network.get_buffer(n)) for n, b in vectors.items())


def test_exact_chains_have_no_dropout() -> None:
    method = build(IGEBM, "exact", dropout=0.5)
    modes = [m.training for m in method.network.modules()]
    energy = method.frozen_energy()
    with torch.no_grad():
        for _ in range(30):  # the power iterations settle
            first = energy(images())
        torch.testing.assert_close(energy(images()), first, rtol=1e-3, atol=1e-5)
    assert [m.training for m in method.network.modules()] == modes


@pytest.mark.parametrize("kind", [PlainEBM, CLEL, IGEBM])
def test_chain_gradients(kind: Any) -> None:
    """Against the exact engine in float64; float32 below 1e-5, fast in bfloat16 below 2 %, cosine above 0.999.

    IGEBM's energy sums pixels after a ReLU, untrained with as many signs up as down: rounding is felt more, 4 to 8 %.
    """
    rounded = (0.1, 0.99) if kind is IGEBM else (0.02, 0.999)
    oracle = build(kind, "exact").double().eval()
    expected = oracle.frozen_energy().gradient(images().double()).flatten(1)
    for engine, relative, cosine in (("float32", 1e-5, 1 - 1e-9), ("fast", *rounded)):
        gradient = build(kind, engine).eval().frozen_energy().gradient(images()).double().flatten(1)
        assert float((gradient - expected).norm() / expected.norm()) < relative
        assert float(F.cosine_similarity(gradient, expected).min()) > cosine


class OtherEnergy(PlainEBM):
    """As somebody's new method: another energy instead of the one that knows its gradient."""

    def energy_of(self, network: Any) -> Any:
        return Energy(lambda x: norm_energy(network(x)) + x.square().sum((1, 2, 3)))


class OtherNetwork(PlainEBM):
    """A network derived from the one that the gradient by hand is of."""

    class Squared(EnergyNetwork):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x.square())

    def __init__(self, config: Any, spec: Any) -> None:
        super().__init__(config, spec)
        self.network = self.Squared(config.network, spec)


@pytest.mark.parametrize("kind", [OtherEnergy, OtherNetwork])
def test_what_is_derived_has_its_own_gradient(kind: Any) -> None:
    exact, fast = (build(kind, engine).eval().frozen_energy().gradient(images()) for engine in ("exact", "fast"))
    assert float((fast - exact).norm() / exact.norm()) < 0.03


def test_a_network_put_in_the_place_of_another_is_noticed() -> None:
    method, other = build(PlainEBM, "fast").eval(), build(PlainEBM, "fast").eval()
    with torch.no_grad():
        for p in other.network.parameters():
            p.mul_(1.5)
    before = method.frozen_energy().gradient(images())
    method.network = other.network
    assert torch.equal(method.frozen_energy().gradient(images()), other.frozen_energy().gradient(images()))
    assert not torch.equal(method.frozen_energy().gradient(images()), before)


@pytest.mark.parametrize("kind", [PlainEBM, CLEL, IGEBM])
@pytest.mark.parametrize("engine", ["bfloat16", "fast"])
def test_energies_are_reduced_in_float32(kind: Any, engine: str) -> None:
    """Scaled until bfloat16 could not tell neighbours apart, energies still have more than 8 bits."""
    method = build(kind, engine).eval()
    x = images()[:1].repeat(256, 1, 1, 1) + torch.linspace(0, 0.05, 256).view(-1, 1, 1, 1)
    energies = method.frozen_energy()(x)
    assert energies.dtype == torch.float32
    assert not torch.equal(energies.bfloat16().float(), energies)
    losses = method.train().training_step(images(method.images_per_step), seeded())
    assert all(value.dtype == torch.float32 for value in losses.values())


def gradients(method: Any, part: str) -> Tensor:
    """The gradients of all weights below `part` in one vector."""
    found = [p.grad.flatten() for n, p in method.named_parameters() if n.startswith(part) and p.grad is not None]
    return torch.cat(found)


@pytest.mark.parametrize("kind", [PlainEBM, CLEL, IGEBM])
def test_fast_trains_as_exact_does(kind: Any) -> None:
    """Losses within 1 %, gradients of all weights in the same direction, from the same chains and views.

    The encoder's divides by the standard deviations of a batch of 32, which lets it feel rounding most.
    """
    size = {"contrastive_batch_size": 16} if kind is CLEL else {}
    exact, fast = build(kind, "exact", **size), build(kind, "fast", **size)
    losses = []
    for method in (exact, fast):
        method.negatives = lambda generator: images(32)[16:].flip(3)
        losses.append(method.training_step(images(method.images_per_step), seeded()))
        losses[-1]["loss"].backward()
    scale = float(losses[0]["energy_positive"].abs())
    assert losses[0].keys() == losses[1].keys()
    for name, value in losses[0].items():
        torch.testing.assert_close(losses[1][name], value, rtol=0.01, atol=0.01 * scale, msg=name)
    for part, cosine in (("network.", 0.999), ("encoder.", 0.98)):
        if part == "encoder." and kind is not CLEL:
            continue
        a, b = gradients(exact, part), gradients(fast, part)
        assert float(F.cosine_similarity(a, b, dim=0)) > cosine
        assert float(a.norm() / b.norm()) == pytest.approx(1, rel=0.02)


def test_spectral_norm_is_computed_outside_autocast() -> None:
    """A training pass in bfloat16 moves u and v by the same one power iteration, to the last bit."""
    exact, fast = build(PlainEBM, "exact"), build(PlainEBM, "fast")
    for method in (exact, fast):
        method.negatives = lambda generator: images()
        method.training_step(images(), seeded())
    for name, value in exact.network.named_buffers():
        assert torch.equal(value, fast.network.get_buffer(name)), name


def test_shared_views_draw_views_as_before() -> None:
    """One encoder pass of both views an iteration, and unit latents for the EBM's images, which carry no gradient."""
    method, seen = build(CLEL, "fast", views=True, contrastive_batch_size=20), []
    method.encoder.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    z, first, second, _ = method.latents(images(20), seeded())
    assert [len(x) for x in seen] == [40] and not torch.equal(seen[0][:20], seen[0][20:])
    assert z.shape == (16, 64) and not z.requires_grad and first.shape == second.shape == (20, 64)
    torch.testing.assert_close(z, F.normalize(first[:16].detach(), dim=1))


def test_recomputed_activations_change_nothing() -> None:
    """Outputs, gradients and running statistics are those of keeping them."""
    found = []
    for on in (False, True):
        torch.manual_seed(0)
        stage = RecomputedStage(
            torch.nn.Conv2d(2, 3, 3), torch.nn.BatchNorm2d(3), torch.nn.ReLU(), torch.nn.Conv2d(3, 2, 3)
        )
        recompute(torch.nn.Sequential(stage), on)
        x = torch.randn(4, 2, 8, 8, generator=seeded()).requires_grad_(True)
        y = stage(x)
        y.square().sum().backward()
        found.append([y, x.grad, *(p.grad for p in stage.parameters()), *stage.buffers()])
    for a, b in zip(*found, strict=True):
        assert torch.equal(a, b)


class Peak(TorchDispatchMode):
    """Bytes of the storages that operations made and that were alive at once, at most."""

    def __init__(self) -> None:
        super().__init__()
        self.alive = self.most = 0
        self.known: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        for t in out if isinstance(out, tuple | list) else (out,):
            if isinstance(t, Tensor) and t.untyped_storage()._cdata not in self.known:
                storage = t.untyped_storage()
                self.known.add(storage._cdata)
                self.alive += storage.nbytes()
                weakref.finalize(storage, self.gone, storage._cdata, storage.nbytes())
        self.most = max(self.most, self.alive)
        return out

    def gone(self, name: int, size: int) -> None:
        self.known.discard(name)
        self.alive -= size


def peak(engine: str, steps: int) -> int:
    method = build(PlainEBM, engine)
    energy, x = method.frozen_energy(), torch.rand(64, *SPEC.shape)
    with Peak() as memory:
        langevin(energy, x, replace(CHAIN, steps=steps), seeded())
    return memory.most


@pytest.mark.parametrize("engine", ["exact", "float32", "fast"])
def test_a_chain_holds_the_activations_of_one_step(engine: str) -> None:
    """More steps take no more memory."""
    assert peak(engine, 6) <= 1.02 * peak(engine, 2)


def test_fast_chains_take_less_memory() -> None:
    """Half the bytes a number, fewer activations kept."""
    assert peak("fast", 2) < 0.5 * peak("exact", 2)


def test_switches_name_what_they_do() -> None:
    """Every switch differs from its default in fast on some device, or it would have no use."""
    fast = switches("fast", torch.device("cpu"))
    same = {f.name for f in fields(Switches) if getattr(fast, f.name) == getattr(Switches(), f.name)}
    assert same == {"frozen", "compiled", "graph_steps"}


def test_protocol_says_the_engine() -> None:
    """Every method with an engine of its own kind says in words what it came down to."""
    for kind in (PlainEBM, CLEL, IGEBM):
        assert build(kind, "float32").engine == "float32"
        assert build(kind, "fast").engine == "fast (bfloat16)"
    assert {"plain", "igebm"} <= set(METHODS)
