"""What is asked of composed samples: attributes that an image is to have (AND), or not to have (NOT).

Of each attribute's value a the latent z_a is the normalised sum of the encodings of all training images that have it;
chains run on E(x) - w sum_a s_a u(x).z_a with s_a = 1, or -1 for NOT (CLEL Section 3.4). The sum has no OR: of
alternatives each chain gets one, which makes the samples a mixture of chains.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product

import torch
from torch import Tensor

from clel.config import choose, require
from clel.data import Images
from clel.methods.clel import CLEL
from clel.sampling.conditional import Aim, latents, summed

NOT, OR = "not ", "/"


@dataclass(frozen=True)
class Asked:
    """A value of an attribute that images are to have; or not to have, if `negated`."""

    attribute: str
    value: str
    negated: bool = False

    @property
    def words(self) -> str:
        """ "red" or "not red"."""
        return f"{NOT}{self.value}" if self.negated else self.value


Conjunction = tuple[Asked, ...]
"""All of these at once; the empty one asks for nothing."""


def asked_in_words(asked: Conjunction) -> str:
    """ "red, circle, not large"; "nothing" where nothing is asked."""
    return ", ".join(a.words for a in asked) or "nothing"


def require_attributes(images: Images) -> None:
    """Raise ConfigError for images without attributes, with what has some."""
    require(
        bool(images.attributes),
        f"{images.name} has no attributes to compose; shapes, shapes@16 and, with list_attr_celeba.txt, celeba64 have",
    )


def value_of(text: str, images: Images) -> Asked:
    """The value that a text names, "red", or does not want, "not red"; capitals do not matter.

    Raises:
        ConfigError: a value that no attribute has, with the nearest one; images without attributes.
    """
    require_attributes(images)
    known = {value.lower(): Asked(name, value) for name, values in images.values.items() for value in values}
    plain = " ".join(text.lower().split())
    negated = plain.startswith(NOT)
    found = choose(known, plain.removeprefix(NOT), f"attribute of {images.name}")
    return replace(found, negated=negated)


def conjunction(texts: Iterable[str], images: Images, without: Iterable[str] = ()) -> Conjunction:
    """What is asked by names, some of them negated; raises ConfigError for a contradiction."""
    found = [value_of(text, images) for text in texts if text.strip()]
    for text in without:
        if text.strip():
            one = value_of(text, images)
            found.append(replace(one, negated=not one.negated))
    refuse_contradiction(found, images.values)
    return tuple(dict.fromkeys(found))


def refuse_contradiction(asked: Sequence[Asked], values: Mapping[str, Sequence[str]]) -> None:
    """Raise ConfigError where no image can have all that is asked."""
    for attribute, every in values.items():
        own = [a for a in asked if a.attribute == attribute]
        wanted = list(dict.fromkeys(a.value for a in own if not a.negated))
        banned = list(dict.fromkeys(a.value for a in own if a.negated))
        both = [value for value in wanted if value in banned]
        require(not both, f"{' and '.join(both)}: asked for and excluded; leave one of the two out")
        require(
            len(wanted) < 2,
            f"{' and '.join(wanted)}: an image has one {attribute}; for one or the other write {OR.join(wanted)}",
        )
        left = [value for value in every if value not in banned]
        require(bool(left), f"without {', '.join(banned)}: no {attribute} is left; it has no other value")


def alternatives(with_: str, without: str, images: Images) -> list[Conjunction]:
    """The conjunctions that "red/blue,circle" and "large" ask for, one for each choice among alternatives a/b.

    Raises:
        ConfigError: a value that there is not, or a choice that contradicts itself; images without attributes.
    """
    require_attributes(images)
    require(OR not in without, f"--without {without}: give what is excluded separated by commas, each is")
    choices = product(*(part.split(OR) for part in with_.split(",")))
    return list(dict.fromkeys(conjunction(choice, images, without.split(",")) for choice in choices))


def attribute_latents(method: CLEL, images: Images, centred: bool = False) -> dict[str, Tensor]:
    """The normalised sum of the latents of the images with each value: {attribute: [values, d]}. [CLEL Section 3.4]

    centred: the mean of all latents is taken off first, so that what all images share pulls nowhere. [this suite]
    """
    require_attributes(images)
    z = latents(method, images.pixels)
    return {name: summed(z, images.attributes[name], len(values), centred) for name, values in images.values.items()}


def target(asked: Conjunction, of: Mapping[str, Tensor], values: Mapping[str, Sequence[str]]) -> Tensor:
    """sum_a s_a z_a [d] of what is asked, from `attribute_latents`; 0 where nothing is."""
    t = torch.zeros_like(next(iter(of.values()))[0])
    for a in asked:
        z = of[a.attribute][values[a.attribute].index(a.value)]
        t = t - z if a.negated else t + z
    return t


def aims(asked: Conjunction, of: Mapping[str, Tensor], values: Mapping[str, Sequence[str]], n: int) -> list[Aim]:
    """What n chains towards `target` are to reach, term by term: of an attribute's values the one that is asked for."""
    numbers = [values[a.attribute].index(a.value) for a in asked]
    return [Aim(of[a.attribute], torch.full((n,), k), a.negated) for a, k in zip(asked, numbers, strict=True)]


def shown(asked: Conjunction, read: Mapping[str, Tensor], values: Mapping[str, Sequence[str]]) -> Tensor:
    """Whether each image does as each term asks, bool [N, terms], by its attributes as they were read."""
    n = len(next(iter(read.values())))
    columns = [(read[a.attribute] == values[a.attribute].index(a.value)) != a.negated for a in asked]
    return torch.stack(columns, 1) if columns else torch.zeros(n, 0, dtype=torch.bool)
