"""Which table is meant: the options that say what is in one, its folder, and METHODS as both of them have it."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from baselines import METHODS
from clel.runs.config import Methods, current, slug
from experiments.reading.paths import absolute, folder_part
from experiments.sweep.grid import PROFILES
from experiments.sweep.meaning import Meaning
from experiments.sweep.variants import parse_settings, typed

OUT, PROJECT = Path("results"), Path("results/project")
"""Where results go if nothing is said, and where those of the project itself are, which its repository keeps."""


@dataclass(frozen=True)
class Named:
    """The options that a table's folder is named by."""

    profile: str = "quick"
    """smoke (a minute, to see that all works), quick (digits), evening (CIFAR-10 at 16x16), small (CIFAR-10) or paper
    (CIFAR-10, Base to Large)."""
    methods: str = ""
    """Methods, separated by commas, each with or without a preset: igebm,clel or clel:large. All if not given."""
    dataset: str | None = None
    """Data set: a name or a path. The profile's own if not given."""
    features: str | None = None
    """Feature space: classifier, lite0, inception-clean, inception-pytorch, inception-tensorflow; several with commas:
    the main one, then others of the same samples. auto: by data set and whether Inception's weights are there. The
    profile's by default."""
    protocols: str = ""
    """Sampling protocols, separated by commas: clean, paper or clean,paper. The presets' if not given."""
    seeds: int = 1
    """Seeds 0, 1, ... of each method."""
    sampling_seeds: int | None = None
    """Times that each trained model is sampled, for the spread over sampling. The presets' if not given."""
    engine: str | None = None
    """Engine of every method that has one of that name (docs/design.md, section 5). The presets' own if not given."""
    set: str = ""
    """Variants, a row for each value: 'langevin.steps=10,30'; several keys, with semicolons, make a grid."""
    minutes: float | None = None
    """Minutes that each method is trained for, instead of the presets' iterations (docs/reference/protocol.md)."""
    rates: bool | None = None
    """Beside each row one at the plain EBM's learning rate. In quick's whole table with several seeds if not given."""
    external: Path | None = None
    """Table (CSV) of other people's samples, each a row; experiments/external.csv if not given."""
    out: Path = OUT
    """Folder for runs/<run> and <profile>/table1.md, .tex, .csv, runs.csv and figures/."""


def named(options: Named, **changes: Any) -> Named:
    """Of the options of a command, those that name a table, with changes."""
    return Named(**{f.name: getattr(options, f.name) for f in fields(Named)} | changes)


def table_name(options: Named) -> str:
    """Folder of the table: the profile's, and another one for whatever else was asked for.

    Names are short, so that two tables may share one: `Meaning` keeps these apart.
    """
    parts = [options.profile]
    if options.dataset is not None:
        parts.append(folder_part(options.dataset))
    if options.methods:
        parts.append(slug(options.methods))
    if options.features is not None:
        parts.append(slug(options.features))
    if options.protocols:
        parts.append(slug(options.protocols))
    if options.seeds != 1:
        parts.append(f"{options.seeds}-seeds")
    if options.sampling_seeds is not None:
        parts.append(f"{options.sampling_seeds}-samplings")
    if options.engine is not None:
        parts.append(slug(options.engine))
    if options.minutes is not None:
        parts.append(f"{options.minutes:g}-minutes")
    if options.set:
        parts.append(slug(typed(parse_settings(options.set)).replace("/", "-")).strip("-"))
    if options.rates is not None:
        parts.append("rates" if options.rates else "without-rates")
    if options.external is not None:
        parts.append(folder_part(options.external))
    return "-".join(parts)


def with_most_seeds(options: Named) -> Path:
    """Of the tables in OUT that these options name, but for the number of seeds, the folder of the one with most.

    Where there is none, the project's; where that has none either, the one that would be in OUT.
    """
    for out in (options.out, PROJECT):
        found = {}
        for path in out.glob("*/runs.csv"):
            seeds = re.search(r"-(\d+)-seeds", path.parent.name)
            several = replace(options, seeds=int(seeds[1]) if seeds else 1)
            if path.parent.name == table_name(several):
                found[several.seeds] = path.parent
        if found:
            return found[max(found)]
    return options.out / table_name(options)


def table1_meaning(options: Named, command: str) -> Meaning:
    """What Table 1 of these options is of; command: the one that its page names."""
    given = {f.name: getattr(options, f.name) for f in fields(Named) if f.name != "out"}
    given |= {"dataset": absolute(options.dataset), "external": absolute(options.external)}
    given |= {"set": typed(parse_settings(options.set)), "protocols": ",".join(names_in(options.protocols))}
    return Meaning("table1", given, "table1.md", f"`{command}`")


def names_in(text: str) -> list[str]:
    """The names of a list with commas."""
    return [name.strip() for name in text.split(",") if name.strip()]


def in_order(text: str, profile: str, rungs: Collection[str] = (), methods: Methods = METHODS) -> str:
    """METHODS with each row once and in the order of the tables, so that the same rows have one folder and command.

    A row that its method's name alone stands for, of the profile's presets or among `rungs`, is left out beside that
    name. Names that methods had before become today's; unknown ones stay, for the error that they are worth where they
    are looked up.
    """
    parts = (name.partition(":") for name in names_in(text))
    wanted = {current(methods, method) + colon + preset for method, colon, preset in parts}
    chosen = PROFILES.get(profile)
    implied = {*rungs, *(f"{method}:{p}" for method in methods for p in (chosen.presets if chosen else ()))}

    def place(name: str) -> tuple[int, int, str]:
        method, _, preset = name.partition(":")
        presets = ["", *methods[method].recipes()] if method in methods else []
        known = presets.index(preset) if preset in presets else len(presets)
        return [*methods].index(method) if method in methods else len(methods), known, preset

    kept = {n for n in wanted if n not in implied or n.partition(":")[0] not in wanted}
    return ",".join(sorted(kept, key=lambda name: (*place(name), name)))
