"""The procedural data set, and the reader of its attributes."""

import time

import pytest
import torch

from clel.data import DataError, Images, load
from clel.data.sets.recognise import legible, recognise
from clel.data.sets.shapes import ATTRIBUTES, PALETTE, RADII, coverage, render
from clel.data.side import averaged
from clel.random import stream


@pytest.fixture(scope="module")
def held_out() -> Images:
    return load("shapes", "test")


def test_what_it_holds(held_out: Images) -> None:
    assert held_out.pixels.shape == (5000, 3, 32, 32)
    assert set(held_out.attributes) == {"shape", "colour", "size", "position", "background"}
    assert held_out.labels is not None and torch.equal(held_out.labels, held_out.attributes["shape"])
    assert held_out.classes == ATTRIBUTES["shape"]
    for name, values in held_out.attributes.items():
        assert values.dtype == torch.int64 and values.shape == (5000,)
        # uniform: each count within five standard deviations
        count, k = values.bincount(minlength=len(ATTRIBUTES[name])), len(ATTRIBUTES[name])
        assert (count - 5000 / k).abs().max() < 5 * (5000 / k * (1 - 1 / k)) ** 0.5


@pytest.mark.parametrize("side", [32, 16])
def test_every_attribute_of_every_image_is_read_back(held_out: Images, side: int) -> None:
    pixels = held_out.pixels if side == 32 else averaged(held_out, side).pixels
    read = recognise(pixels)
    wrong = {name: int((read[name] != values).sum()) for name, values in held_out.attributes.items()}
    assert wrong == dict.fromkeys(ATTRIBUTES, 0)
    assert float(legible(pixels).min()) > 0.98


def test_an_image_without_a_shape_is_not_legible() -> None:
    grey = torch.full((1, 3, 16, 16), 90, dtype=torch.uint8)
    noise = torch.randint(0, 256, (50, 3, 16, 16), dtype=torch.uint8, generator=stream("cpu", 0, "noise"))
    assert float(legible(grey)) == 0 and float(legible(noise).max()) < 0.8
    recognise(grey)  # an answer all the same


@pytest.mark.parametrize("name", ATTRIBUTES)
def test_the_reader_sees_a_change_of_one_attribute(held_out: Images, name: str) -> None:
    changed = {k: v[:200].clone() for k, v in held_out.attributes.items()}
    changed[name] = (changed[name] + 1) % len(ATTRIBUTES[name])
    read = recognise(render(changed, stream("cpu", 3, "test")))
    assert all(torch.equal(read[k], changed[k]) for k in ATTRIBUTES)
    assert not (read[name] == held_out.attributes[name][:200]).any()


def test_pixels_say_so_themselves(held_out: Images) -> None:
    """Colour, position and background by other means than the reader's."""
    v = held_out.pixels.double()
    saturated = v.amax(1) - v.amin(1) > 120
    assert saturated.flatten(1).any(1).all()
    weight = saturated.double()[:, None]
    mean = (v * weight).sum((2, 3)) / weight.sum((2, 3))
    bright = (mean > 120).long()
    assert torch.equal(bright, torch.tensor(PALETTE)[held_out.attributes["colour"]])
    places = torch.arange(32) + 0.5
    x = (weight[:, 0].sum(1) * places).sum(1) / weight.sum((1, 2, 3))
    assert torch.equal(torch.bucketize(x, torch.tensor([13.5, 18.5]).double()), held_out.attributes["position"] % 3)
    border = torch.cat([v[:, :, 0], v[:, :, -1], v[:, :, :, 0], v[:, :, :, -1]], 2)
    assert torch.equal(border.amax(1), border.amin(1)), "the outermost pixels are background"
    dark = border.flatten(1).amax(1) < 50
    assert torch.equal(dark, held_out.attributes["background"] == 0)


@pytest.mark.parametrize("shape", range(4))
@pytest.mark.parametrize("radius", RADII)
def test_each_shape_covers_the_area_of_its_circle(shape: int, radius: float) -> None:
    one = torch.ones(1, dtype=torch.float64)
    a = coverage(shape, 16.3 * one, 15.8 * one, radius * one)
    assert float(a.sum()) == pytest.approx(torch.pi * radius**2, rel=0.04)
    assert ((a > 0.05) & (a < 0.95)).any(), "edges are anti-aliased"


def test_splits_have_no_image_in_common(held_out: Images) -> None:
    train = load("shapes").pixels[:5000]
    both = torch.cat([train, held_out.pixels]).flatten(1).numpy()
    assert len({row.tobytes() for row in both}) == 10_000


def test_content_is_constant_and_quick(held_out: Images) -> None:
    start = time.process_time()
    again = load("shapes", "test")
    assert time.process_time() - start < 5
    assert again.content_hash() == held_out.content_hash()
    assert held_out.content_hash() == "99d6f7a0324951ac5fe31c25208b9b30d842fea43810f81562e6b6dc48072981"


def test_the_reader_refuses_other_images() -> None:
    with pytest.raises(DataError, match=r"expected uint8 \[N, 3, 32, 32\]"):
        recognise(torch.zeros(1, 1, 32, 32, dtype=torch.uint8))
