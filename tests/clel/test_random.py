"""Random streams: a function of seed and labels alone, unlike for unlike labels, the global state untouched."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from clel.random import fold, seeded, stream

labels = st.lists(st.integers(-(2**40), 2**40) | st.text(max_size=5), max_size=4).map(tuple)


@given(st.integers(0, 2**40), labels)
def test_fold_fits_a_seed(seed: int, names: tuple[str | int, ...]) -> None:
    assert 0 <= fold(seed, *names) < 2**63
    assert fold(seed, *names) == fold(seed, *names)


@given(st.integers(0, 100), labels, st.integers(0, 100), labels)
def test_unlike_labels_unlike_seeds(a: int, first: tuple[str | int, ...], b: int, second: tuple[str | int, ...]) -> None:
    assert (fold(a, *first) == fold(b, *second)) == ((a, first) == (b, second))


def test_numbers_and_their_names_differ() -> None:
    values = {fold(0, 1), fold(0, "1"), fold(1), fold(0, 0, 1), fold(0, "0, 1"), fold(0, "train", 1, 2), fold(0, 12)}
    assert len(values) == 7


def test_the_same_in_another_process() -> None:
    """Python's own string hash differs from process to process; this one must not."""
    code = "from clel.random import fold; print(fold(3, 'train', 0, 17))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(result.stdout) == fold(3, "train", 0, 17)


def test_stream() -> None:
    draws = [torch.rand(4, generator=stream("cpu", 0, "a", t)) for t in (0, 0, 1)]
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])


def test_seeded_restores_the_global_state() -> None:
    torch.manual_seed(5)
    undisturbed = torch.rand(3)
    torch.manual_seed(5)
    with seeded(0, "x"):
        first = torch.rand(3)
    assert torch.equal(torch.rand(3), undisturbed)
    with pytest.raises(KeyError), seeded(0, "x"):
        assert torch.equal(torch.rand(3), first)
        raise KeyError
    torch.manual_seed(5)
    with seeded(1, "x"):
        assert not torch.equal(torch.rand(3), first)
    assert torch.equal(torch.rand(3), undisturbed)
