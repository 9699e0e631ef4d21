"""The options of make compositional, and what of them is refused before anything is computed."""

from __future__ import annotations

from dataclasses import dataclass, replace

from clel.config import require
from clel.data import load
from clel.storage.atomic import refuse_unwritable
from experiments.compositional.asked import composed_of, conjunction_of, require_table, triples_of
from experiments.compositional.settings import KEPT, RULE, TUNING_SEEDS, Drawing, swept
from experiments.measured.artefact import Measuring

DATASETS = {"smoke": "shapes@16", "quick": "shapes@16", "paper": "celeba64"}
"""The data set of each profile that has one with attributes."""


@dataclass(frozen=True)
class Compositional(Measuring):
    """Compose attributes in samples: train CLEL without labels, draw towards sums of latents, read what is shown."""

    asked: str = ""
    """Triples of attributes, 'red,circle,large; blue,square,dark'. The declared ones of the data set if not given."""
    weight: float | None = None
    """w of each attribute. Chosen by the sweep if not given."""
    steps: int | None = None
    """Langevin steps with the pull; likewise."""
    start: str | None = None
    """noise, or samples of the run; likewise."""
    centred: bool | None = None
    """Take the mean of all latents off an attribute's first; likewise."""
    restarts: int | None = None
    """Times that chains start anew whose u(x) or h(x) says that they missed what was asked; likewise."""
    samples: int = 250
    """Chains for each thing that is asked."""
    sweep: bool = False
    """Try the declared settings on runs of the seeds 100, 101, ..., which no table reports, and say which the rule
    chooses."""
    keep: bool = False
    """Of a sweep: write its lines into experiments/compositional/sweep.csv, from which the settings are taken."""


SETTINGS = ("weight", "steps", "start", "centred", "restarts")
"""Options that are fields of Drawing."""


def checked_options(options: Compositional) -> Compositional:
    """The options with names as the data have them; raises ConfigError or DataError for what cannot be."""
    require(
        options.profile in DATASETS or options.dataset is not None,
        f"profile {options.profile} has no images with attributes: give PROFILE={' or '.join(DATASETS)}",
    )
    require(options.samples >= 2, f"SAMPLES is {options.samples}; expected at least 2")
    require(
        not options.sweep or options.seeds <= len(TUNING_SEEDS),
        f"SEEDS is {options.seeds}; a sweep has the seeds {', '.join(map(str, TUNING_SEEDS))}",
    )
    require(options.sweep or not options.keep, "KEEP=1 is for make compositional-sweep, whose outcome it keeps")
    if options.keep:
        refuse_unwritable(KEPT)
    drawing_of(options)  # refuses what is no setting
    require(
        not options.sweep or all(getattr(options, name) is None for name in SETTINGS),
        f"the sweep tries all settings: leave {', '.join(SETTINGS).upper()} out",
    )
    triples = triples_of(options.asked, composed_of(composed_dataset(options)).triples)
    if not options.plan:
        require_table(composed_dataset(options))
    if not options.asked:
        return options
    images = load(composed_dataset(options), "train")
    named = [[a.words for a in conjunction_of(triple, images)] for triple in triples]
    for triple, names in zip(triples, named, strict=True):
        require(len(names) == 3, f"ASKED: {', '.join(triple)}: expected three different attributes")
    return replace(options, asked="; ".join(", ".join(triple) for triple in named))


def composed_dataset(options: Compositional) -> str:
    """The data set that is asked for, or the profile's."""
    return options.dataset or DATASETS[options.profile]


def chosen_of(options: Compositional) -> tuple[Drawing, str]:
    """How chains are run where nothing is given, and why so, for a table."""
    found, declared = swept(composed_dataset(options)), composed_of(composed_dataset(options))
    return (declared.unswept, declared.why) if found is None else (found, f"chosen by a sweep on other seeds: {RULE}")


def drawing_of(options: Compositional) -> Drawing:
    """The settings that are given; of the others those that the sweep chose; 2 steps in smoke."""
    chosen = chosen_of(options)[0]
    if options.profile == "smoke":
        chosen = replace(chosen, steps=2)
    given = {name: getattr(options, name) for name in SETTINGS}
    return replace(chosen, **{name: value for name, value in given.items() if value is not None})
