"""What is composed on which data set: the declared triples of attributes, and everything that is asked of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations

from clel.config import ConfigError, require
from clel.data import Images, sources
from clel.data.registry import data_root
from clel.data.sets.celeba import ATTRIBUTES
from clel.data.side import split_side
from clel.sampling.attributes import NOT, Conjunction, conjunction, require_attributes
from experiments.compositional.settings import Drawing

Triple = tuple[str, str, str]


@dataclass(frozen=True)
class Composed:
    """A data set with attributes.

    Attributes:
        preset: CLEL's for it.
        triples: names of values as `value_of` reads them; of each triple every subset is asked for.
        alone: values asked for by themselves, of attributes that h is expected not to know.
        unswept: how chains are run where nothing else is asked for, and no sweep of the data set was kept.
        why: why so, for a table.
        table: file of its attributes, where they lie in one beside its images.
    """

    preset: str
    triples: tuple[Triple, ...]
    alone: tuple[str, ...]
    unswept: Drawing
    why: str
    table: str | None = None


SHAPES = Composed(
    "shapes",
    (
        ("red", "small", "dark"),
        ("green", "large", "light"),
        ("blue", "medium", "rows"),
        ("yellow", "small", "columns"),
        ("magenta", "large", "dark"),
        ("cyan", "medium", "light"),
    ),
    ("circle", "cross", "top left"),
    Drawing(weight=0.03, steps=60, restarts=6),
    "provisional, from two settings tried on seed 100: no sweep, whose rule is to choose them, was kept",
)
"""Every value of colour, size and background is in one of the triples. Shape and position are not: h tells neither
better than chance, of 3 to 5 pixels across the one, and since crops and flips move it the other."""
CELEBA = Composed(
    "celeba64",
    (("Young", "Female", "Smiling"),),
    (),
    replace(SHAPES.unswept, steps=600),
    "not tuned: the weight of shapes, and the steps of the preset's evaluation",
    ATTRIBUTES,
)
"""The paper's Figure 4b."""
DATA = {"shapes": SHAPES, "celeba64": CELEBA}


def composed_of(dataset: str) -> Composed:
    """What is composed on a data set, also at another side; raises ConfigError for one without attributes."""
    plain = split_side(dataset)[0]
    if plain not in DATA:
        known = "shapes, shapes@16 and celeba64"
        raise ConfigError(f"{dataset} has no attributes to compose: give DATASET one of {known}")
    return DATA[plain]


def require_table(dataset: str) -> None:
    """Raise DataError where the file of a data set's attributes is not there, with where to get it; nothing is read."""
    table = composed_of(dataset).table
    if table is not None:
        sources.find(split_side(dataset)[0], (table,), data_root())


def triples_of(text: str, declared: Sequence[Triple]) -> tuple[Triple, ...]:
    """The triples of "red,circle,large; blue,square,dark"; the declared ones where nothing is given."""
    if not text.strip():
        return tuple(declared)
    found = [tuple(" ".join(value.split()) for value in part.split(",")) for part in text.split(";") if part.strip()]
    for triple in found:
        require(
            len(triple) == 3 and all(triple),
            f"ASKED: {', '.join(triple)!r} is not three attributes; give 'red,circle,large; blue,square,dark'",
        )
    return tuple(found)  # type: ignore[arg-type]


def subsets(triple: Triple) -> list[tuple[str, ...]]:
    """The triple's 8 subsets, the empty one first, then by their size, in the triple's order."""
    return [chosen for size in range(4) for chosen in combinations(triple, size)]


def conditions(triples: Sequence[Triple], alone: Sequence[str] = (), whole: bool = False) -> list[tuple[str, ...]]:
    """All that is asked for: the subsets of every triple, NOT of each of its values, and the values `alone`, each once.

    whole: nothing, and the triples alone.
    """
    if whole:
        return list(dict.fromkeys([(), *triples]))
    positive = [chosen for triple in triples for chosen in subsets(triple)]
    every = dict.fromkeys(value for triple in triples for value in triple if not value.startswith(NOT))
    return list(dict.fromkeys([*positive, *((f"{NOT}{value}",) for value in every), *((value,) for value in alone)]))


def conjunction_of(asked: Sequence[str], images: Images) -> Conjunction:
    """The conjunction of these names; raises ConfigError for a name that there is not, or a contradiction."""
    require_attributes(images)
    return conjunction(asked, images)
