"""The configuration of one run: a method, its settings, a data set and a seed; its name and its config.json."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, ClassVar, Generic, Literal, TypeVar, get_args, get_origin, get_type_hints

import torch
import tyro

from clel.config import LOGISTICS, ConfigError, choose, from_dict, identity, require, to_dict
from clel.data import ImageSpec
from clel.methods.method import Method
from clel.methods.settings import EvaluateConfig, TrainConfig
from clel.storage.atomic import read_json, write_atomically
from clel.training.length import lasting

C = TypeVar("C")
Methods = Mapping[str, type[Method]]

OLD_SIGNS = {"reference": "reference", "external": "external", "study": "chains"}
"""Keys of config.json files that do not say their kind yet, and the kind that each is a sign of."""


@dataclass(frozen=True)
class Run(Generic[C]):
    """The resolved configuration of one run."""

    kind: ClassVar[str] = "run"
    """Says in config.json which configuration it is of."""
    method: Annotated[str, tyro.conf.Suppress]
    """Name of the method."""
    preset: Annotated[str, tyro.conf.Suppress] = field(metadata=LOGISTICS)
    """Name of the recipe that the settings started from."""
    config: C
    """The method's hyper-parameters."""
    train: TrainConfig = field(default_factory=TrainConfig)
    """Training."""
    # no part of a run's identity: measured otherwise, the trained model is the same one
    evaluate: EvaluateConfig = field(default_factory=EvaluateConfig, metadata=LOGISTICS)
    """Sampling and measuring once trained."""
    dataset: str = "digits"
    """Data set: a name, or a folder, .zip, .tar or .npz of images."""
    seed: int = 0
    """Seed of everything random."""
    device: str = field(default="auto", metadata=LOGISTICS)
    """cpu, cuda, cuda:1, ...; auto takes a GPU where there is one."""

    def __post_init__(self) -> None:
        require(self.seed >= 0, f"seed is {self.seed}; expected 0 or more")

    @property
    def name(self) -> str:
        """<method>-<dataset>-s<seed>-<hash of the configuration>: the run's folder."""
        kept = replace(self, method=former(self.config) or self.method)
        return run_name(kept.method, self.dataset, self.seed, identity(kept))


def run_name(method: str, dataset: str, seed: int, digest: str) -> str:
    """<method>-<dataset>-s<seed>-<digest>."""
    return f"{method}-{slug(dataset)}-s{seed}-{digest}"


def slug(dataset: str) -> str:
    """A data set's name, or the last part of its path, in characters fit for a file name."""
    return re.sub(r"[^a-z0-9_.]+", "-", Path(dataset).name.lower())


def former(config: Any) -> str | None:
    """The name that a method with such a configuration (the class or one of it) had before, None if it never changed.

    Its runs go on being named by it, so that those made under it are found.
    """
    return getattr(config, "FORMER", None)


def current(methods: Methods, name: str) -> str:
    """A method's key where the name is one that it had before; else the name as it is."""
    before = {former(method.Config): key for key, method in methods.items()}
    return name if name in methods else before.get(name, name)


def key_of(methods: Methods, name: str, what: str = "method") -> str:
    """The key of a method that is asked for by it or by the name it had before.

    Raises:
        ConfigError: there is none; with the nearest one, also where a title was given (Plain EBM).
    """
    name = current(methods, name)
    titles = {method.title.lower(): key for key, method in methods.items()}
    meant = titles.get(name.lower())
    if name not in methods and meant is not None:
        raise ConfigError(f"unknown {what} {name!r}; did you mean {meant!r}? known: {', '.join(sorted(methods))}")
    choose(methods, name, what)
    return name


def choose_method(methods: Methods, name: str, what: str = "method") -> type[Method]:
    """The method of a name, as `key_of` has it."""
    return methods[key_of(methods, name, what)]


def resolve(methods: Methods, method: str, preset: str, **changes: Any) -> Run[Any]:
    """The run of a named method and preset, with fields of Run replaced; raises ConfigError for unknown names."""
    key = key_of(methods, method)
    recipe = methods[key].recipe(preset)
    return replace(Run(key, preset, recipe.config, recipe.train, recipe.evaluate), **changes)


def engines(run: Run[Any]) -> tuple[str, ...]:
    """The names that the field `engine` of the run's configuration takes; none where it has no such field."""
    kind = get_type_hints(type(run.config)).get("engine")
    return get_args(kind) if get_origin(kind) is Literal else ()


def with_engine(run: Run[Any], engine: str) -> Run[Any]:
    """The run on another engine; as it is where its method has none of that name."""
    return replace(run, config=replace(run.config, engine=engine)) if engine in engines(run) else run


def check_engine(runs: Iterable[Run[Any]], engine: str) -> None:
    """Raise ConfigError, with the nearest name, unless one of the runs has such an engine."""
    found = {run.method: engines(run) for run in runs}
    known = {name for names in found.values() for name in names}
    methods = ", ".join(found)
    require(bool(known), f"engine {engine!r}: none to choose for {methods or 'rows without training'}; leave it out")
    choose(dict.fromkeys(known), engine, f"engine of {methods}" if len(found) == 1 else "engine")


def save_config(run: Any, folder: Path) -> None:
    """Write config.json, from which `load_config` makes the run again.

    What minutes came to is kept where the folder has that of a run of this name: it is measured once.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "config.json"
    if isinstance(run, Run) and run.train.minutes and folder.name == run.name and path.exists():
        measured = read_config(folder).get("train", {}).get("measured_iterations", 0)
        run = replace(run, train=replace(run.train, measured_iterations=run.train.measured_iterations or measured))
    write_atomically(path, (json.dumps({"kind": run.kind, **to_dict(run)}, indent=1) + "\n").encode())


def read_config(folder: Path) -> dict[str, Any]:
    """The plain values of a folder's config.json, with its `kind`; raises ConfigError where it is damaged."""
    remedy = (
        "the settings are lost, what was trained is not: remove it and give the command that made the run again "
        f"(make table1, or clel train with the same options and --out {folder}), which writes it anew and goes on"
    )
    values = read_json(folder / "config.json", remedy)
    return {"kind": next((kind for key, kind in OLD_SIGNS.items() if key in values), Run.kind), **values}


def load_config(folder: Path, methods: Methods) -> Run[Any]:
    """The run that a folder's config.json describes; raises ConfigError if it cannot be read."""
    path = folder / "config.json"
    if not path.exists():
        raise ConfigError(
            f"{folder}: no folder of a run, since it has no config.json. `clel train` and `make table1` make such "
            "folders; what clel.train made from Python is sampled from Python"
        )
    values = read_config(folder)
    kind = values.pop("kind")
    if kind in ("reference", "external"):
        raise ConfigError(f"{folder}: the run of a row of given images ({values[kind]}), for which nothing was trained")
    choose_method(methods, values.get("method", ""), f"method in {path}")
    try:
        return as_run(values, methods)
    except ConfigError as error:
        old = "; a version of this suite that had other settings wrote it: train anew in another folder"
        raise ConfigError(f"{path}: {error}{old if 'unknown key' in str(error) else ''}") from None


def as_run(values: Mapping[str, Any], methods: Methods) -> Run[Any]:
    """The run that plain values describe; raises ConfigError for a method or settings that there are not."""
    key = key_of(methods, str(values.get("method", "")))
    config: Any = from_dict(methods[key].Config, values.get("config", {}), "config.")
    return from_dict(Run, {**values, "method": key, "config": config})


def choose_device(name: str) -> torch.device:
    """The torch device of a name; auto is the first GPU where there is one, else the CPU."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise ConfigError(f"device is {name!r}; expected auto, cpu, cuda or cuda:<number>") from None
    if device.type == "cuda" and not torch.cuda.is_available():
        raise ConfigError(f"device is {name!r}, but this torch sees no GPU; take cpu or auto")
    there = ["cpu", *(f"cuda:{k}" for k in range(torch.cuda.device_count()))]
    there += ["mps"] * torch.backends.mps.is_available()
    shown = "cuda:0" if name == "cuda" else "cpu" if name == "cpu" else name
    require(
        shown in there, f"device is {name!r}, which this torch does not see here; there are: auto, {', '.join(there)}"
    )
    return device


def build(run: Run[Any], methods: Methods, spec: ImageSpec, device: torch.device) -> Method:
    """The run's method, freshly initialised from its seed, with the lengths that it is trained with."""
    return choose_method(methods, run.method).build(lasting(run).config, spec, run.seed).to(device)
