"""The pixel convention, batches, and Images' own checks."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from clel.data import DataError, Images, batch_indices, to_float, to_uint8
from clel.random import stream


@given(seed=st.integers(0, 2**31))
@settings(max_examples=20, deadline=None)
def test_to_uint8_undoes_to_float_for_every_value(seed: int) -> None:
    v = torch.arange(256).repeat(64).to(torch.uint8)
    x = to_float(v, stream("cpu", seed, "test"))
    assert x.dtype == torch.float32 and 0 <= x.min() and x.max() < 1
    assert torch.equal(to_uint8(x), v)


def test_to_uint8_undoes_to_float_where_float32_rounds() -> None:
    # one u in 2^18 is so near to 1 that 100 + u rounds to 101: sixteen of these pixels
    v = torch.full((2**22,), 100, dtype=torch.uint8)
    assert torch.equal(to_uint8(to_float(v, stream("cpu", 0, "test"))), v)


def test_without_a_generator_the_middle_of_each_bin() -> None:
    v = torch.arange(256).to(torch.uint8)
    assert torch.equal(to_float(v, None), (torch.arange(256) + 0.5) / 256)
    assert torch.equal(to_uint8(to_float(v, None)), v)


def test_dequantisation_noise_is_uniform_in_the_bin() -> None:
    u = to_float(torch.full((100_000,), 7, dtype=torch.uint8), stream("cpu", 1, "test")) * 256 - 7
    assert abs(float(u.mean()) - 0.5) < 0.005 and abs(float(u.var()) - 1 / 12) < 0.002


def test_to_uint8_clamps() -> None:
    assert to_uint8(torch.tensor([-0.1, 0.0, 1.0, 1.5])).tolist() == [0, 0, 255, 255]


@given(n=st.integers(1, 60), data=st.data(), seed=st.integers(0, 2**40), epoch=st.integers(0, 50))
@settings(max_examples=60, deadline=None)
def test_an_epoch_of_batches_is_a_permutation(n: int, data: st.DataObject, seed: int, epoch: int) -> None:
    batch = data.draw(st.integers(1, n))
    count = n // batch
    indices = torch.cat([batch_indices(n, batch, epoch * count + i, seed) for i in range(count)])
    assert len(indices) == count * batch == len(indices.unique())
    assert 0 <= indices.min() and indices.max() < n


@given(t=st.integers(0, 10_000), seed=st.integers(0, 2**40), between=st.lists(st.integers(0, 10_000), max_size=4))
@settings(max_examples=50, deadline=None)
def test_a_batch_depends_on_seed_and_iteration_alone(t: int, seed: int, between: list[int]) -> None:
    first = batch_indices(100, 7, t, seed).clone()
    for other in between:
        batch_indices(100, 7, other, seed + 1)
    assert torch.equal(batch_indices(100, 7, t, seed), first)


def test_epochs_and_seeds_differ() -> None:
    epochs = {tuple(batch_indices(50, 50, t, seed).tolist()) for t in range(3) for seed in range(3)}
    assert len(epochs) == 9


def test_a_batch_has_the_pixels_of_its_indices() -> None:
    pixels = torch.arange(6, dtype=torch.uint8).view(6, 1, 1, 1)
    assert Images(pixels).batch(torch.tensor([4, 0, 4])).flatten().tolist() == [4, 0, 4]


def test_a_batch_larger_than_the_data_set_is_refused() -> None:
    with pytest.raises(DataError, match=r"batch of 9.*data set of 8"):
        batch_indices(8, 9, 0, 0)


@pytest.mark.parametrize(
    "pixels",
    [torch.zeros(2, 3, 4, 4), torch.zeros(2, 2, 4, 4, dtype=torch.uint8), torch.zeros(2, 3, 4, 5, dtype=torch.uint8)],
)
def test_other_pixels_are_refused(pixels: torch.Tensor) -> None:
    with pytest.raises(DataError, match=r"expected uint8 \[N, C, H, W\]"):
        Images(pixels)


def test_labels_that_do_not_fit_are_refused() -> None:
    pixels = torch.zeros(2, 1, 4, 4, dtype=torch.uint8)
    with pytest.raises(DataError, match=r"expected int64 \[2\]"):
        Images(pixels, torch.zeros(3, dtype=torch.int64))
    with pytest.raises(DataError, match="outside the 2 classes"):
        Images(pixels, torch.tensor([0, 2]), classes=("a", "b"))


def test_spec_is_mean_and_std_a_channel() -> None:
    pixels = torch.randint(256, (5000, 3, 2, 2), generator=stream("cpu", 0, "test")).to(torch.uint8)
    v = pixels.double().div(255).transpose(0, 1).flatten(1)
    spec = Images(pixels).spec
    assert spec.shape == (3, 2, 2)
    assert spec.mean == pytest.approx(v.mean(1).tolist(), abs=6e-5)
    assert spec.std == pytest.approx(v.std(1, correction=0).tolist(), abs=6e-5)
