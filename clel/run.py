"""One run: a method, its settings, a data set and a seed; trained, evaluated, and recorded in one folder.

config.json    the resolved configuration          log.jsonl       training and evaluation, a line each
checkpoints/   for resuming and sampling            samples.npy     uint8 fresh samples [N, C, H, W]
samples/       grids over training; samples.png     record.json     status, metrics, costs, provenance; written last
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Generic, TypeVar

import numpy as np
import torch
import tyro
from torch import Tensor

from clel import checkpoint
from clel.average import Average
from clel.config import LOGISTICS, ConfigError, choose, differences, from_dict, identity, require, to_dict
from clel.data import Images, ImageSpec, load, to_uint8
from clel.evaluate import Reference, draw, protocol, reference, refuse_few_samples, score
from clel.files import write_atomically
from clel.grid import save_grid
from clel.interrupt import Interrupted
from clel.lock import locked
from clel.method import Method
from clel.metrics import classifier_space
from clel.provenance import provenance
from clel.record import FINAL, blank_record, finished, read_record, training_costs, write_record
from clel.settings import EvaluateConfig, TrainConfig
from clel.trainer import Trainer

C = TypeVar("C")
Methods = Mapping[str, type[Method]]


@dataclass(frozen=True)
class Run(Generic[C]):
    """The resolved configuration of one run."""

    method: Annotated[str, tyro.conf.Suppress]
    """Name of the method."""
    preset: Annotated[str, tyro.conf.Suppress] = field(metadata=LOGISTICS)
    """Name of the recipe that the settings started from."""
    config: C
    """The method's hyper-parameters."""
    train: TrainConfig = field(default_factory=TrainConfig)
    """Training."""
    evaluate: EvaluateConfig = field(default_factory=EvaluateConfig)
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
        return run_name(self.method, self.dataset, self.seed, identity(self))


def run_name(method: str, dataset: str, seed: int, digest: str) -> str:
    """<method>-<dataset>-s<seed>-<digest>."""
    return f"{method}-{slug(dataset)}-s{seed}-{digest}"


def slug(dataset: str) -> str:
    """A data set's name, or the last part of its path, in characters fit for a file name."""
    return re.sub(r"[^a-z0-9_.]+", "-", Path(dataset).name.lower())


def resolve(methods: Methods, method: str, preset: str, **changes: Any) -> Run[Any]:
    """The run of a named method and preset, with fields of Run replaced; raises ConfigError for unknown names."""
    recipe = choose(methods, method, "method").recipe(preset)
    return replace(Run(method, preset, recipe.config, recipe.train, recipe.evaluate), **changes)


def save_config(run: Any, folder: Path) -> None:
    """Write config.json, from which `load_config` makes the run again."""
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(folder / "config.json", (json.dumps(to_dict(run), indent=1) + "\n").encode())


def load_config(folder: Path, methods: Methods) -> Run[Any]:
    """The run that a folder's config.json describes; raises ConfigError if it cannot be read."""
    path = folder / "config.json"
    if not path.exists():
        raise ConfigError(
            f"{folder}: no folder of a run, since it has no config.json. `clel train` and `make table1` make such "
            "folders; what clel.train made from Python is sampled from Python"
        )
    try:
        values = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: cannot be read as a run's configuration: {error}") from error
    if "reference" in values:
        raise ConfigError(
            f"{folder}: the run of a reference row ({values['reference']}), for which nothing was trained"
        )
    kind = choose(methods, values.get("method", ""), f"method in {path}").Config
    try:
        return from_dict(Run, {**values, "config": from_dict(kind, values.get("config", {}), "config.")})
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None


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
    return device


def build(run: Run[Any], methods: Methods, spec: ImageSpec, device: torch.device) -> Method:
    """The run's method, freshly initialised from its seed."""
    return choose(methods, run.method, "method").build(run.config, spec, run.seed).to(device)


def execute(run: Run[Any], folder: Path, methods: Methods) -> dict[str, Any]:
    """Train (or resume), evaluate and record; returns the record. A record that stands is returned as it is.

    Raises:
        Interrupted: on SIGTERM or Ctrl-C; no record is written, and running it again goes on.
    """
    with locked(folder):
        return _execute(run, folder, methods)


def _execute(run: Run[Any], folder: Path, methods: Methods) -> dict[str, Any]:
    _refuse_another(run, folder, methods)
    existing = read_record(folder)
    if existing is not None and existing["status"] in FINAL:
        return existing
    # a failure is forgotten once the run is taken up again
    (folder / "record.json").unlink(missing_ok=True)
    save_config(run, folder)
    record = blank_record(folder.name, run, method=run.method, preset=run.preset, dataset=run.dataset, seed=run.seed)
    try:
        device = choose_device(run.device)
        # float32 means float32: convolutions on recent GPUs would otherwise round to 10 bits
        torch.backends.cudnn.allow_tf32 = False
        record["provenance"] = provenance(device)
        _train_and_evaluate(run, folder, methods, device, record)
    except Interrupted:
        raise
    except Exception as error:
        out_of_memory = isinstance(error, torch.cuda.OutOfMemoryError | MemoryError) or "can't allocate" in str(error)
        if out_of_memory:
            record |= {"status": "oom", "reason": (str(error) or "out of memory").splitlines()[0]}
        else:
            record |= {"status": "error", "reason": f"{type(error).__name__}: {error}"}
            write_record(folder, finished(record))
            raise
    write_record(folder, finished(record))
    return record


def _refuse_another(run: Run[Any], folder: Path, methods: Methods) -> None:
    """Raise ConfigError, before anything is written, where the folder is another run's."""
    if (folder / "config.json").exists():
        changed = differences(load_config(folder, methods), run)
        if changed:
            raise ConfigError(
                f"{folder} holds a run of another configuration: {'; '.join(changed)}. Give another folder"
            )


def _train_and_evaluate(
    run: Run[Any], folder: Path, methods: Methods, device: torch.device, record: dict[str, Any]
) -> None:
    images = load(run.dataset, "train").to(device)
    held_out = load(run.dataset, "test").to(device)
    real = reference(images, classifier_space(images, held_out))
    method = build(run, methods, images.spec, device)
    refuse_few_samples(run.evaluate, run.train, method.chains(), real)

    def probe(method: Method, iteration: int) -> dict[str, Any]:
        quick = replace(run.evaluate, samples=run.train.evaluate_samples)
        pixels = draw(method, quick.samples, quick, run.seed, label=f"probe {iteration}")
        return score(pixels, real, quick, run.seed, "fresh")

    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    trainer = Trainer(
        method, images, run.train, folder, run.seed, folder.name, probe=probe, grid_steps=run.evaluate.steps
    )
    outcome = trainer.run()
    record["training"] = training_costs(method, outcome, device)
    record |= {"status": outcome.status, "reason": outcome.reason}
    with trainer.average.swapped_in(method):
        measured, pixels = measure(method, real, run, folder.name)
    save_images(pixels, folder)
    record |= measured


def measure(method: Method, real: Reference, run: Run[Any], name: str) -> tuple[dict[str, Any], Tensor]:
    """Metrics of fresh chains and of the buffer with their protocol, and the fresh samples, uint8 [N, C, H, W]."""
    pixels = draw(method, run.evaluate.samples, run.evaluate, run.seed, f"{name} evaluation")
    metrics = score(pixels, real, run.evaluate, run.seed, "fresh")
    chains = method.chains()
    if chains is not None:
        metrics |= score(to_uint8(chains).cpu(), real, run.evaluate, run.seed, "buffer")
    return {"metrics": metrics, "protocol": protocol(real, run.evaluate, run.seed)}, pixels


def save_images(pixels: Tensor, folder: Path) -> None:
    """Write samples.npy, all of them, and samples.png, a grid of the first 64."""
    memory = io.BytesIO()
    np.save(memory, pixels.numpy())
    write_atomically(folder / "samples.npy", memory.getvalue())
    save_grid(pixels[:64], folder / "samples.png")


def load_trained(folder: Path, methods: Methods, device_name: str = "auto") -> tuple[Method, Run[Any], Images]:
    """A finished or interrupted run's method with the averaged weights of its last checkpoint, in evaluation mode.

    Raises:
        ConfigError: no configuration; CheckpointError: no readable checkpoint in the folder.
    """
    run = load_config(folder, methods)
    found = checkpoint.latest(folder / "checkpoints")
    if found is None:
        raise checkpoint.CheckpointError(f"{folder / 'checkpoints'}: no readable checkpoint; train the run first")
    device = choose_device(device_name)
    images = load(run.dataset, "train").to(device)
    method = build(run, methods, images.spec, device)
    method.load_state_dict(found[1]["method"])
    average = Average(method, run.train.ema_half_life)
    average.load_state_dict(found[1]["average"])
    average.copy_to(method)
    return method, run, images
