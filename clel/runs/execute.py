"""One run carried out in its folder: trained, evaluated, recorded; or taken up where an earlier process stopped.

config.json    the resolved configuration          log.jsonl       training and evaluation, a line each
checkpoints/   for resuming and sampling           training.json   how training ended and what it cost
samples/       grids over training                 evaluations/    samples and metrics, a folder an evaluation
samples.png    fresh samples                       record.json     status, metrics, costs, provenance; written last
"""

from __future__ import annotations

import warnings
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from clel.config import ConfigError, differences, identity, require, to_dict
from clel.data import DataError, Images, load
from clel.data.images import refuse_large_batch
from clel.evaluation.evaluate import Subject, evaluate, metrics, room
from clel.evaluation.feature_choice import settled
from clel.evaluation.score import brief, measure_images, refuse_few_samples
from clel.features.reference import Reference, reference
from clel.features.spaces import feature_space
from clel.machine.allocator import tune_allocator
from clel.machine.processor import float32_means_float32
from clel.machine.signals import Interrupted
from clel.methods.method import Method
from clel.methods.settings import EvaluateConfig
from clel.metrics import SingularCovariance
from clel.runs.config import Methods, Run, build, choose_device, choose_method, load_config, save_config
from clel.runs.load import load_trained, untrained
from clel.runs.rate import timed
from clel.runs.record import (
    FINAL,
    blank_record,
    finished,
    read_record,
    read_training,
    stands,
    write_record,
    write_training,
)
from clel.sampling.fresh import draw_fresh, refuse_rounds
from clel.storage import checkpoint
from clel.storage.atomic import refuse_unwritable, write_atomically
from clel.storage.lock import forget, locked
from clel.storage.provenance import provenance
from clel.training.costs import training_costs
from clel.training.length import lasting
from clel.training.representations import probe_accuracies, pulls
from clel.training.trainer import Trainer


def execute(run: Run[Any], folder: Path, methods: Methods) -> dict[str, Any]:
    """Train (or resume), evaluate and record; returns the record. A record that stands is returned as it is.

    A run that is trained and recorded under another `evaluate` is measured again, not trained again. What can be looked
    at beforehand is, before anything is written; a folder in which nothing was trained is free for another run.

    Raises:
        ConfigError, DataError: bad input. It is recorded only where the folder had a config.json, as a launcher's has.
        Interrupted: on SIGTERM or Ctrl-C; no record is written, and running it again goes on.
    """
    run = replace(run, evaluate=settled(run.evaluate, run.dataset))
    made = not folder.exists()
    refuse_unwritable(folder / "record.json")
    try:
        with locked(folder):
            return _execute(run, folder, methods)
    except (ConfigError, DataError):
        if made:
            forget(folder)
        raise


def measured_on(run: Run[Any], images: Images) -> Reference:
    """The reference that the run's samples are compared with: its training images, or held-out ones where so asked."""
    return reference_of(run.evaluate, images, load(run.dataset, "test").to(images.pixels.device))


def reference_of(evaluate: EvaluateConfig, train: Images, held_out: Images) -> Reference:
    """The reference that samples are compared with, in the feature spaces that `evaluate` names."""
    images = held_out if evaluate.reference == "test" else train
    names = (evaluate.features, *evaluate.also)
    main, *others = (reference(images, feature_space(name, train, held_out)) for name in names)
    return replace(main, further=dict(zip(evaluate.also, others, strict=True)))


def _execute(run: Run[Any], folder: Path, methods: Methods) -> dict[str, Any]:
    run = _as_held(run, folder, methods)
    existing = read_record(folder)
    if existing is not None and stands(existing, run.evaluate):
        if not (folder / "config.json").exists():
            save_config(run, folder)
        return existing
    ended = existing is not None and existing["status"] in FINAL
    record = blank_record(folder.name, run, method=run.method, preset=run.preset, dataset=run.dataset, seed=run.seed)
    tune_allocator(getattr(run.config, "engine", None))  # before there is any tensor
    try:
        device = choose_device(run.device)
        float32_means_float32()
        record["provenance"] = origin = provenance(device)
        images = load(run.dataset, "train").to(device)
        training, method = read_training(folder), None
        if training is None:
            _look_at(run, folder, methods)
            run = timed(run, methods, images)
            record["config"] = to_dict(run)
            method = build(run, methods, images.spec, device)
            refuse_large_batch(method.images_per_step, len(images))
        real = measured_on(run, images)
        if method is not None:
            refuse_few_samples(run.evaluate, lasting(run).train, method.chains(), real)
            refuse_unwritable(folder / "record.json", room(run.evaluate, method.spec.shape, real))
        if not ended:
            # a failure is forgotten once the run is taken up again
            (folder / "record.json").unlink(missing_ok=True)
            save_config(run, folder)
        if method is not None:
            training = _trained(run, folder, method, images, real, origin)
        record |= training or {}
        record |= measure(run, folder, methods, real, origin)
    except Interrupted:
        raise
    except Exception as error:
        if ended:  # what was measured before stands, whatever another evaluation came to
            raise
        out_of_memory = isinstance(error, torch.cuda.OutOfMemoryError | MemoryError) or "can't allocate" in str(error)
        if out_of_memory:
            record |= {"status": "oom", "reason": (str(error) or "out of memory").splitlines()[0]}
        else:
            record |= {"status": "error", "reason": f"{type(error).__name__}: {error}"}
            if (folder / "config.json").exists():
                with suppress(OSError):  # a full disk: that nothing could be written is said by the error itself
                    write_record(folder, finished(record))
            raise
    save_config(run, folder)
    write_record(folder, finished(record))
    return record


def _as_held(run: Run[Any], folder: Path, methods: Methods) -> Run[Any]:
    """The run with the iterations that its minutes came to, where its folder says so.

    Raises:
        ConfigError: before anything is written, where the folder is another run's.
    """
    if not (folder / "config.json").exists():
        known = read_record(folder) or {"hash": identity(run)}
        require(known["hash"] == identity(run), f"{folder} holds another run's record. Give another folder")
        return _with_iterations(run, 0, folder)
    held = load_config(folder, methods)
    changed = differences(held, run)
    # nothing is lost with a run of which nothing was trained; but a folder that bears a run's name stays that run's
    if changed and (folder.name == held.name or not untrained(folder)):
        raise ConfigError(f"{folder} holds a run of another configuration: {'; '.join(changed)}. Give another folder")
    return _with_iterations(run, 0 if changed else held.train.measured_iterations, folder)


def _with_iterations(run: Run[Any], measured: int, folder: Path) -> Run[Any]:
    """The run with what its minutes came to; where config.json does not tell, with what its checkpoints say."""
    if run.train.minutes and not measured and not untrained(folder):
        found = checkpoint.latest(folder / "checkpoints")
        measured = 0 if found is None else int(found[1]["essence"]["train"]["iterations"])
    return replace(run, train=replace(run.train, measured_iterations=measured))


def _look_at(run: Run[Any], folder: Path, methods: Methods) -> None:
    """Raise ConfigError for all that is wrong with the run, as far as it shows before its networks are built."""
    kind = choose_method(methods, run.method)
    refuse_rounds(kind, run.config, run.evaluate)
    if untrained(folder):
        kind.require_inputs(run.config)


def _trained(
    run: Run[Any], folder: Path, method: Method, images: Images, real: Reference, origin: dict[str, Any]
) -> dict[str, Any]:
    """Train the method: how that ended, what it cost and where, which training.json then has."""
    device = images.pixels.device
    train = lasting(run).train
    look, first = brief(run.evaluate, train.evaluate_samples), replace(real, further={})
    held_out = load(run.dataset, "test").to(device) if train.representation_images else images

    def probe(method: Method, iteration: int) -> dict[str, Any]:
        pixels = draw_fresh(method, look.samples, look, run.seed, label=f"probe {iteration}")
        with warnings.catch_warnings():
            # said once, of the evaluation at the end, and not at every look
            warnings.simplefilter("ignore", SingularCovariance)
            values = measure_images(pixels, first, look, run.seed, "fresh")
        found = {f"{name}_fresh": value for name, value in values.items()}
        if seen := train.representation_images:
            found |= probe_accuracies(method, images, held_out, seen, run.seed) | pulls(
                method, images, run.seed, iteration
            )
        return found

    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    trainer = Trainer(method, images, train, folder, run.seed, folder.name, probe=probe, grid_steps=run.evaluate.steps)
    outcome = trainer.run()
    ended = {
        "status": outcome.status,
        "reason": outcome.reason,
        "training": training_costs(method, outcome, device),
        "provenance": origin,
    }
    write_training(folder, ended)
    return ended


def measure(
    run: Run[Any],
    folder: Path,
    methods: Methods,
    real: Reference,
    origin: dict[str, Any],
    checkpoint: Path | None = None,
) -> dict[str, Any]:
    """Evaluate a checkpoint of a run, by default its last: the record's "metrics", "protocol" and "evaluations"."""
    trained = load_trained(folder, methods, run.device, run.evaluate.weights, checkpoint)
    refuse_rounds(type(trained.method), trained.run.config, run.evaluate)
    refuse_few_samples(run.evaluate, None, trained.method.chains(), real)
    subject = Subject(trained.method, trained.checkpoint, folder, run.seed, origin)
    evaluations = evaluate(subject, real, run.evaluate)
    first = evaluations.get("fresh") or next(iter(evaluations.values()))
    if checkpoint is None:
        write_atomically(folder / "samples.png", (folder / first["folder"] / "samples.png").read_bytes())
    return {"metrics": metrics(evaluations), "protocol": first["protocol"], "evaluations": evaluations}
