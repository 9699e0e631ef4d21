"""Random streams: a function of seed and labels alone, unlike for unlike labels, the global state untouched."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from clel.random import fold, seeded, stream

labels = st.lists(st.integers(-(2**40), 2**40) | st.text(max_size=5), max_size=4).map(tuple)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**40), labels)
def test_fold_fits_a_seed(seed: int, names: tuple[str | int, ...]) -> None:
    assert 0 <= fold(seed, *names) < 2**63
    assert fold(seed, *names) == fold(seed, *names)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 100), labels, st.integers(0, 100), labels)
def test_unlike_labels_unlike_seeds(
    a: int, first: tuple[str | int, ...], b: int, second: tuple[str | int, ...]
) -> None:
    assert (fold(a, *first) == fold(b, *second)) == ((a, first) == (b, second))


def test_numbers_and_their_names_differ() -> None:
    values = {fold(0, 1), fold(0, "1"), fold(1), fold(0, 0, 1), fold(0, "0, 1"), fold(0, "train", 1, 2), fold(0, 12)}
    assert len(values) == 7


def test_the_same_on_every_machine() -> None:
    """Python's own string hash differs from process to process; a resumed run must find its streams again."""
    assert fold(3, "train", 0, 17) == 7886621619947635438


def test_stream() -> None:
    draws = [torch.rand(4, generator=stream("cpu", 0, "a", t)) for t in (0, 0, 1)]
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])


def fail_inside() -> None:
    with seeded(0, "x"):
        torch.rand(3)
        raise KeyError


def test_seeded_restores_the_global_state() -> None:
    torch.manual_seed(5)
    undisturbed = torch.rand(6)
    torch.manual_seed(5)
    with seeded(0, "x"):
        first = torch.rand(3)
    with seeded(0, "x"):
        assert torch.equal(torch.rand(3), first)
    with seeded(1, "x"):
        assert not torch.equal(torch.rand(3), first)
    with pytest.raises(KeyError):
        fail_inside()
    assert torch.equal(torch.rand(6), undisturbed)
