"""What reads the attributes of samples: exactly where that can be done, else a classifier whose accuracy is stated."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

from torch import Tensor

from clel.data import Images
from clel.data.sets.recognise import legible, recognise
from clel.data.side import split_side
from clel.features.classifier import NAME, classifier_space

Reader = Callable[[Tensor], Mapping[str, Tensor]]


@dataclass(frozen=True)
class AttributeJudge:
    """A reader of attributes.

    Attributes:
        name: what it is, for a table.
        read: images uint8 [N, C, H, W] -> {attribute: labels int64 [N]}.
        accuracy: share of held-out real images that it reads rightly, by attribute.
        doubt: share of samples in which there is something to read, where it knows; None where it does not.
    """

    name: str
    read: Reader
    accuracy: Mapping[str, float]
    doubt: Callable[[Tensor], float] | None = None


LEGIBLE = 0.9
"""An image shows a shape where the nearest one explains this share of its colour; of real images 0.98 and more."""


def attribute_judge(train: Images, held_out: Images, attributes: Iterable[str]) -> AttributeJudge:
    """The judge of these attributes of a data set: `recognise` for `shapes`, else a classifier for each of them."""
    wanted = tuple(attributes)
    if split_side(train.name)[0] == "shapes":
        return AttributeJudge("read exactly from pixels", recognise, accuracies(recognise, held_out, wanted), _legible)
    spaces = {name: classifier_space(replace(train, labels=train.attributes[name], classes=tuple(train.values[name])))
              for name in wanted}  # fmt: skip

    def read(pixels: Tensor) -> dict[str, Tensor]:
        return {name: space(pixels)[1].argmax(1) for name, space in spaces.items()}

    return AttributeJudge(f"{NAME}, one an attribute", read, accuracies(read, held_out, wanted))


def accuracies(read: Reader, images: Images, attributes: Iterable[str]) -> dict[str, float]:
    """Share of images of which each attribute is read rightly."""
    found = read(images.pixels)
    return {name: float((found[name] == images.attributes[name].cpu()).double().mean()) for name in attributes}


def _legible(pixels: Tensor) -> float:
    return float((legible(pixels) >= LEGIBLE).double().mean())
