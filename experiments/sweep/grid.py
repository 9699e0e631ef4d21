"""The declared grid of Table 1: the methods, presets, data set and seeds of a profile; tables are reindexed onto it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from baselines import METHODS, PLAIN
from clel.chains.protocol import PROTOCOLS
from clel.config import ConfigError, choose, identity, require
from clel.data.side import at_side
from clel.evaluation.feature_choice import settled
from clel.methods.method import Method
from clel.methods.profiles.evening import evening_evaluate
from clel.methods.profiles.full import full_evaluate
from clel.methods.profiles.quick import quick_evaluate
from clel.methods.settings import EvaluateConfig
from clel.runs.config import Methods, Run, check_engine, key_of, resolve, slug, with_engine
from clel.sampling.fresh import own_protocols
from experiments.runs.chains.settings import ChainsRun
from experiments.runs.external import External, ExternalRun
from experiments.runs.references import REFERENCES, ReferenceRun
from experiments.sweep.variants import (
    Changes,
    Setting,
    changes_in_words,
    combinations,
    keys,
    label,
    refuse_unknown,
    value_at,
    with_changes,
)

MOST_SEEDS = 10_000
"""Of a row; more are a slip of the hand, and would fill the memory before anything is trained."""


@dataclass(frozen=True)
class Profile:
    """A size of the whole experiment.

    Attributes:
        dataset: its data set where none is asked for.
        presets: a method has one row for each of these that it knows.
        given: how rows of given images are measured, as the methods' presets are, of which they take the number too.
        side: to which its images are averaged down; at their own if None.
        rates: its whole table of several seeds has each row at the plain EBM's learning rate too, where it is another.
        cut: fields of TrainConfig and of EvaluateConfig that replace the presets' (the smoke profile's few iterations).
    """

    dataset: str
    presets: tuple[str, ...]
    given: EvaluateConfig
    side: int | None = None
    rates: bool = False
    cut_train: tuple[tuple[str, Any], ...] = ()
    cut_evaluate: tuple[tuple[str, Any], ...] = ()


PROFILES = {
    "smoke": Profile(
        "digits",
        ("quick",),
        given=EvaluateConfig(samples=100),
        cut_train=(
            ("iterations", 4),
            ("checkpoint_every", 2),
            ("evaluate_every", 2),
            ("evaluate_samples", 80),
            ("log_every", 1),
        ),
        cut_evaluate=(("samples", 100), ("steps", 2), ("rounds", 1)),
    ),
    "quick": Profile("digits", ("quick",), quick_evaluate(), rates=True),
    "evening": Profile("cifar10", ("evening",), evening_evaluate(), side=16),
    "small": Profile("cifar10", ("small",), full_evaluate()),
    "paper": Profile("cifar10", ("paper", "multiscale", "multiscale-256", "large", "paper-n2"), full_evaluate()),
}


@dataclass(frozen=True)
class Cell:
    """One run of the grid: a seed of a row of the table. note: a footnote of the row."""

    row: str
    title: str
    profile: str
    run: Run[Any] | ReferenceRun | ExternalRun | ChainsRun
    published: str | None = None
    note: str = ""

    @property
    def dataset(self) -> str:
        """Its data set."""
        return self.run.dataset

    @property
    def seed(self) -> int:
        """Its seed."""
        return self.run.seed

    @property
    def evaluate(self) -> EvaluateConfig | None:
        """How it is to be measured; None where its record says that by itself."""
        return getattr(self.run, "evaluate", None)

    @property
    def measured(self) -> EvaluateConfig:
        """How it is measured: as is to be, or by default."""
        return self.evaluate or EvaluateConfig()

    @property
    def slug(self) -> str:
        """Its data set's name, fit for a file name."""
        return slug(self.dataset)

    @property
    def run_name(self) -> str:
        """Its folder below the runs' directory."""
        return self.run.name


def table1_cells(
    profile: str,
    seeds: int = 1,
    rows: Sequence[str] = (),
    dataset: str | None = None,
    device: str = "auto",
    methods: Methods = METHODS,
    evaluate: Mapping[str, Any] | None = None,
    external: Sequence[External] = (),
    engine: str | None = None,
    settings: Sequence[Setting] = (),
    rates: bool | None = None,
    minutes: float | None = None,
) -> list[Cell]:
    """The cells of Table 1: the references noise and held-out images, every method's rows with every seed, and others'.

    Args:
        rows: only these, as "method" (all its presets of the profile) or "method:preset"; all by default.
        evaluate: fields of EvaluateConfig that replace every cell's.
        external: other people's samples, of which those of the data set have a row.
        engine: of every method that has one of that name; the presets' own if None.
        rates: beside each row one at the plain EBM's learning rate; if None, where the profile says so, and all methods
            and several seeds are asked for and no settings.
        minutes: train every method for so long, instead of its preset's iterations.
        settings: beside each row one for every combination of these values, of the settings that its method has.

    Raises:
        ConfigError: an unknown profile, method or preset, an engine or a setting that none of the methods has, or no
            seed.
    """
    chosen = choose(PROFILES, profile, "profile")
    if not 1 <= seeds <= MOST_SEEDS:
        raise ConfigError(f"seeds is {seeds}; expected at least 1, and {MOST_SEEDS:,} at most")
    require(minutes is None or minutes > 0, f"MINUTES is {minutes}; expected minutes of training, more than 0")
    dataset = at_side(dataset or chosen.dataset, chosen.side)
    length = {} if minutes is None else {"minutes": minutes}
    asked = dict(evaluate or {})
    # given images have no chains, so of what is asked they take only what measuring depends on
    spaces = {name: value for name, value in asked.items() if name in ("features", "also")}
    bound = settled(replace(chosen.given, beyond=1.0, **spaces), dataset)
    rates = chosen.rates and seeds > 1 and not rows and not settings if rates is None else rates
    cells = []
    for kind, reference in REFERENCES.items():
        for seed in range(seeds if reference.random else 1):
            held = ReferenceRun(kind, dataset, seed, bound, device)
            cells.append(Cell(kind, reference.title, profile, held))
    wanted = _rows(rows, chosen, methods)
    refuse_unknown({method: resolve(methods, method, preset) for method, preset in wanted}, settings)
    for method, preset in wanted:
        recipe = methods[method].recipe(preset)
        main = preset == chosen.presets[0]
        title = methods[method].title
        possible = asked_of(methods[method], recipe.config, asked)
        row, title = (method, title) if main else (f"{method}:{preset}", f"{title} ({preset})")
        run = resolve(methods, method, preset, dataset=dataset, device=device)
        run = replace(
            run,
            train=replace(run.train, **{**dict(chosen.cut_train), **length}),
            evaluate=settled(replace(run.evaluate, **{**dict(chosen.cut_evaluate), **possible}), dataset),
        )
        own = variants(run, settings)
        note = ""
        if main and rates:
            rate = plain_rate(preset, methods)
            own += [changes for changes in variants(run, [Setting("lr", (rate,))]) if changes not in own]
            if method != PLAIN and value_at(run, "lr") == rate:
                note = f"{title}: its learning rate is the plain EBM's, {rate:g}."
        cells += with_seeds(Cell(row, title, profile, run, recipe.published, note), range(seeds))
        for changes in own:
            varied = Cell(
                f"{row}[{label(changes)}]",
                f"{title} ({changes_in_words(changes)})",
                profile,
                with_changes(run, changes),
            )
            cells += with_seeds(varied, range(seeds))
    if engine is not None:
        check_engine([cell.run for cell in cells if isinstance(cell.run, Run)], engine)
        cells = [replace(c, run=with_engine(c.run, engine)) if isinstance(c.run, Run) else c for c in cells]
    taken = {cell.title for cell in cells}
    for other in external:
        if other.dataset == dataset:
            if other.title in taken:
                raise ConfigError(f"external row {other.title!r}: this table has a row of that title; give it another")
            given = ExternalRun(other.title, dataset, other.samples, other.source, other.sha256, 0, bound, device)
            cells.append(Cell(given.key, other.title, profile, given, other.published))
    # the same settings said in two ways are one run, which counts once
    once: dict[str, Cell] = {}
    for cell in cells:
        once.setdefault(cell.run_name, cell)
    return list(once.values())


def plain_rate(preset: str, methods: Methods) -> float:
    """The plain EBM's learning rate in a preset."""
    return float(methods[PLAIN].recipe(preset).config.lr)


def with_seeds(cell: Cell, seeds: Iterable[int]) -> list[Cell]:
    """The cell once with each seed."""
    run: Any = cell.run
    return [replace(cell, run=replace(run, seed=seed)) for seed in seeds]


def variants(run: Run[Any], settings: Sequence[Setting]) -> list[Changes]:
    """The combinations of values of the settings that the run's method has, but for those that it has anyway."""
    own = combinations([setting for setting in settings if setting.key in keys(run)])
    return [changes for changes in own if identity(with_changes(run, changes)) != identity(run)]


def asked_of(method: type[Method], config: Any, asked: Mapping[str, Any]) -> dict[str, Any]:
    """Of the evaluation that is asked for, what the method can do: no protocol that it does not have.

    Its row then has no number under that protocol, as the rows of given images have none.
    """
    possible = dict(asked)
    if "protocols" in asked:
        other = PROTOCOLS.keys() - own_protocols(method, config)
        possible["protocols"] = tuple(name for name in asked["protocols"] if name not in other)
    return possible


def _rows(rows: Sequence[str], profile: Profile, methods: Methods) -> list[tuple[str, str]]:
    wanted = rows or list(methods)
    result = []
    for text in wanted:
        name, _, preset = text.strip().partition(":")
        name = key_of(methods, name)
        method = methods[name]
        if preset:
            method.recipe(preset)
        presets = [preset] if preset else [p for p in profile.presets if p in method.recipes()]
        if not presets and not rows:
            continue  # a method may have no preset of this size
        if not presets:
            raise ConfigError(f"{name} has none of the profile's presets {profile.presets}; name one: {name}:<preset>")
        result += [(name, p) for p in presets]
    return list(dict.fromkeys(result))
