"""Compiled gradients: traced whole, as good as the plain ones, and these where a compiler fails."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import pytest
import torch
from torch import Tensor

from baselines.plain import PlainEBM
from clel.chains import kernels
from clel.chains.compiled import SHAPES, Compiled, Work, inductor
from clel.chains.energy import ChainEnergy
from clel.chains.gradient import WHOLE, NormGradient
from clel.chains.switches import FallbackWarning, switches
from clel.networks.frozen import FrozenView
from tests.clel.chains.test_gradient import CONFIGS, images
from tests.clel.chains.test_gradient import build as network
from tests.clel.chains.test_switches import build
from tests.clel.chains.test_switches import images as digits

CPU = torch.device("cpu")


traced = partial(inductor, backend="aot_eager")
"""As a compiler does, but run operation by operation; no graph break is let pass."""


class Counting:
    """A compiler that gives `work` back, changed by `change`, and counts."""

    def __init__(self, change: Callable[[Tensor], Tensor] = lambda x: x) -> None:
        self.change, self.compiled, self.called = change, 0, 0

    def __call__(self, work: Work) -> Work:
        self.compiled += 1

        def run(x: Tensor) -> Tensor:
            self.called += 1
            return self.change(work(x))

        return run


@pytest.mark.parametrize("config", CONFIGS)
def test_traced_whole(config: object, monkeypatch: pytest.MonkeyPatch) -> None:
    """As it is on CUDA, without oneDNN's fused convolutions; weights that changed in place are seen."""
    monkeypatch.setattr(kernels, "fused_available", lambda _: False)
    live = network(config)  # type: ignore[arg-type]
    view = FrozenView(live)
    plain = NormGradient(view.network, torch.float32, WHOLE)  # type: ignore[arg-type]
    compiled = Compiled(plain, traced)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        before = compiled(images())
    torch.testing.assert_close(before, plain(images()), rtol=1e-5, atol=1e-8)
    with torch.no_grad():
        for p in live.parameters():
            p.add_(0.05)
    view.refresh()
    plain.refresh()
    torch.testing.assert_close(compiled(images()), plain(images()), rtol=1e-5, atol=1e-8)
    assert float((compiled(images()) - before).norm()) > 0.01 * float(before.norm())
    assert len(compiled.known) == 1 and not compiled.failed


def test_more_than_torch_keeps_of_one_code() -> None:
    """Several networks in several shapes, more in all than the eight that torch compiles of one piece of code."""
    works = [Compiled(lambda x, factor=factor: factor * x.relu(), traced) for factor in range(2, 6)]  # type: ignore[misc]
    for n in range(1, SHAPES + 1):
        for factor, work in enumerate(works, 2):
            assert torch.equal(work(torch.ones(n, 1, 2, 2)), torch.full((n, 1, 2, 2), float(factor)))
    assert not any(work.failed for work in works) and all(len(work.known) == SHAPES for work in works)


def test_what_fails_later() -> None:
    """A compiler may compile again, in another thread or mode, and meet its limits then."""

    def once(work: Work) -> Work:
        calls = iter([work])

        def run(x: Tensor) -> Tensor:
            for chosen in calls:
                return chosen(x)
            raise RuntimeError("limit")

        return run

    compiled, x = Compiled(lambda y: 2 * y, once), torch.ones(1, 1, 2, 2)
    with pytest.warns(FallbackWarning, match="limit"):
        assert torch.equal(compiled(x), 2 * x)
    assert torch.equal(compiled(x), 2 * x)


def test_once_a_shape_and_not_for_ever() -> None:
    compiler = Counting()
    compiled = Compiled(lambda x: 2 * x, compiler)
    for _ in range(2):
        for n in range(1, SHAPES + 3):
            assert torch.equal(compiled(torch.ones(n, 1, 2, 2)), torch.full((n, 1, 2, 2), 2.0))
    assert compiler.compiled == SHAPES
    assert compiler.called == 3 * SHAPES  # held to the plain work once, then twice in use


def failing(work: Work) -> Work:
    raise RuntimeError("no compiler\nand many lines more")


@pytest.mark.parametrize(
    ("compiler", "said"),
    [
        (failing, "no compiler$"),
        (Counting(lambda y: 1.2 * y), "differs by"),
        (Counting(lambda y: y * float("nan")), "differs by nan"),
    ],
)
def test_plain_where_it_fails(compiler: Callable[[Work], Work], said: str) -> None:
    """Said once, for all shapes."""
    compiled = Compiled(lambda x: 2 * x, compiler)
    with pytest.warns(FallbackWarning, match=f"without compiled kernels: .*{said}"):
        assert torch.equal(compiled(torch.ones(1, 1, 2, 2)), torch.full((1, 1, 2, 2), 2.0))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert torch.equal(compiled(torch.ones(2, 1, 2, 2)), torch.full((2, 1, 2, 2), 2.0))


def test_what_is_not_finite_says_nothing_of_a_compiler() -> None:
    """A training that diverges goes back and goes on, compiled."""
    compiler = Counting()
    compiled, x = Compiled(lambda y: 2 * y, compiler), torch.ones(1, 1, 2, 2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert bool(compiled(x / 0).isinf().all()) and compiler.compiled == 0
        assert torch.equal(compiled(x), 2 * x) and compiler.compiled == 1
    assert not compiled.failed


def test_too_little_memory_is_no_failure() -> None:
    def full(work: Work) -> Work:
        raise torch.OutOfMemoryError("out of memory")

    with pytest.raises(torch.OutOfMemoryError):
        Compiled(lambda x: x, full)(torch.ones(1, 1, 2, 2))


def test_chains_use_it_and_a_copy_has_its_own_weights() -> None:
    """A method's deep copy compiles anew, and reads its own weights."""
    method = build(PlainEBM, "fast").eval()
    chosen = replace(switches("fast", CPU), compiled=True, in_pieces=False, chain_dtype=torch.float32)
    compiler, x = Counting(), digits(4)
    energy = ChainEnergy(method.network, method.energy_of, chosen).refresh()
    assert isinstance(energy.own_gradient, Compiled)
    energy.own_gradient.compiler = compiler
    first = energy.gradient(x)
    twin = copy.deepcopy(energy)
    with torch.no_grad():
        for p in method.network.parameters():
            p.mul_(1.1)
    changed = energy.refresh().gradient(x)
    assert float((changed - first).norm()) > 0.01 * float(first.norm())
    torch.testing.assert_close(twin.gradient(x), first)
    assert compiler.compiled == 2
