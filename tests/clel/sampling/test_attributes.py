"""Composed attributes: names, contradictions, the sum of latents, and what samples of known targets show."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from clel import CLEL, Images
from clel.config import ConfigError
from clel.data.sets.shapes import ATTRIBUTES
from clel.sampling.attributes import (
    Asked,
    alternatives,
    asked_in_words,
    attribute_latents,
    conjunction,
    require_attributes,
    shown,
    target,
    value_of,
)
from clel.sampling.conditional import latents
from tests.clel.training.trainer_process import small_config, small_images

RED, CIRCLE, LARGE = Asked("colour", "red"), Asked("shape", "circle"), Asked("size", "large")


@pytest.fixture(scope="module")
def images() -> Images:
    """Random 8x8 images that carry random attributes of `shapes`."""
    generator, n = torch.Generator().manual_seed(1), 64
    labels = {name: torch.randint(len(values), (n,), generator=generator) for name, values in ATTRIBUTES.items()}
    return Images(small_images(n).pixels, name="shapes@8", attributes=labels, values=ATTRIBUTES)


def test_names_are_read(images: Images) -> None:
    assert value_of(" Red ", images) == RED
    assert value_of("not  top left", images) == Asked("position", "top left", True)
    assert conjunction(["red", "circle"], images, ["large"]) == (RED, CIRCLE, Asked("size", "large", True))
    assert (
        asked_in_words(conjunction(["red"], images, ["large"])) == "red, not large" and asked_in_words(()) == "nothing"
    )


@pytest.mark.parametrize(
    ("with_", "without", "message"),
    [
        ("rde", "", "unknown attribute of shapes@8 'rde'; did you mean 'red'"),
        ("red,blue", "", "red and blue: an image has one colour; for one or the other write red/blue"),
        ("red/green,blue", "", "red and blue: an image has one colour"),
        ("red,circle", "red", "red: asked for and excluded"),
        ("red", "small,medium,large", "without small, medium, large: no size is left"),
        ("red", "small/large", "give what is excluded separated by commas"),
    ],
)
def test_what_no_image_can_have_is_refused(images: Images, with_: str, without: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        alternatives(with_, without, images)
    assert "\n" not in str(caught.value)


def test_images_without_attributes_are_refused() -> None:
    with pytest.raises(ConfigError, match="images has no attributes to compose; shapes, shapes@16"):
        require_attributes(small_images())


def test_or_is_a_choice_for_each_chain(images: Images) -> None:
    either = alternatives("red/blue,circle", "large", images)
    assert [asked_in_words(one) for one in either] == ["red, circle, not large", "blue, circle, not large"]
    assert alternatives("", "large", images) == [(Asked("size", "large", True),)]


def test_the_target_is_a_sum_of_normalised_sums(images: Images) -> None:
    method = CLEL.build(small_config(), images.spec, 0).eval()
    assert isinstance(method, CLEL)
    z = latents(method, images.pixels)

    def of(name: str, label: int, centred: bool = False) -> torch.Tensor:
        own = z - z.mean(0) if centred else z
        return F.normalize(own[images.attributes[name] == label].sum(0), dim=0)

    for centred in (False, True):
        held = attribute_latents(method, images, centred)
        asked = conjunction(["red", "circle"], images, ["large"])
        expected = of("colour", 0, centred) + of("shape", 0, centred) - of("size", 2, centred)
        assert torch.allclose(target(asked, held, images.values), expected, atol=1e-5)
        assert target((), held, images.values).abs().sum() == 0


def test_what_is_shown_is_read_by_name(images: Images) -> None:
    asked = (RED, Asked("size", "large", True))
    each = shown(asked, images.attributes, images.values)
    assert torch.equal(each[:, 0], images.attributes["colour"] == 0)
    assert torch.equal(each[:, 1], images.attributes["size"] != 2)
    assert shown((), images.attributes, images.values).shape == (64, 0)
