"""One run carried out in its folder: trained, evaluated, recorded; or taken up where an earlier process stopped.

config.json    the resolved configuration          log.jsonl       training and evaluation, a line each
checkpoints/   for resuming and sampling           training.json   how training ended and what it cost
samples/       grids over training                 evaluations/    samples and metrics, a folder an evaluation
samples.png    fresh samples                       record.json     status, metrics, costs, provenance; written last
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from clel.config import ConfigError, differences, from_dict, identity
from clel.data import Images, load
from clel.evaluate import brief, measure_images, refuse_few_samples
from clel.evaluation import Subject, evaluate, metrics
from clel.files import write_atomically
from clel.interrupt import Interrupted
from clel.lock import locked
from clel.log import plain
from clel.method import Method
from clel.metrics.spaces import feature_space
from clel.provenance import provenance
from clel.record import FINAL, blank_record, finished, read_record, training_costs, write_record
from clel.reference import Reference, reference
from clel.run import Methods, Run, build, choose_device, load_config, save_config
from clel.sampling import draw, refuse_rounds
from clel.settings import EvaluateConfig
from clel.trained import load_trained
from clel.trainer import Trainer


def execute(run: Run[Any], folder: Path, methods: Methods) -> dict[str, Any]:
    """Train (or resume), evaluate and record; returns the record. A record that stands is returned as it is.

    A run that is trained and recorded under another `evaluate` is measured again, not trained again.

    Raises:
        Interrupted: on SIGTERM or Ctrl-C; no record is written, and running it again goes on.
    """
    with locked(folder):
        return _execute(run, folder, methods)


def stands(record: Mapping[str, Any] | None, evaluate: EvaluateConfig) -> bool:
    """Whether a record is of a run that ended and was measured as `evaluate` asks."""
    if record is None or record["status"] not in FINAL:
        return False
    try:
        measured = from_dict(EvaluateConfig, record["config"]["evaluate"])
    except (ConfigError, KeyError, TypeError):
        return False
    return identity(measured) == identity(evaluate)


def measured_on(run: Run[Any], device: torch.device) -> tuple[Images, Reference]:
    """The run's training images on the device, and the reference that its samples are held against."""
    images, held_out = (load(run.dataset, split).to(device) for split in ("train", "test"))
    return images, reference(images, feature_space(run.evaluate.features, images, held_out))


def _execute(run: Run[Any], folder: Path, methods: Methods) -> dict[str, Any]:
    _refuse_another(run, folder, methods)
    existing = read_record(folder)
    if existing is not None and stands(existing, run.evaluate):
        return existing
    ended = existing is not None and existing["status"] in FINAL
    if not ended:
        # a failure is forgotten once the run is taken up again
        (folder / "record.json").unlink(missing_ok=True)
        save_config(run, folder)
    record = blank_record(folder.name, run, method=run.method, preset=run.preset, dataset=run.dataset, seed=run.seed)
    try:
        device = choose_device(run.device)
        # float32 means float32: convolutions on recent GPUs would otherwise round to 10 bits
        torch.backends.cudnn.allow_tf32 = False
        record["provenance"] = origin = provenance(device)
        images, real = measured_on(run, device)
        record |= _trained(run, folder, methods, images, real, origin)
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
            write_record(folder, finished(record))
            raise
    save_config(run, folder)
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


def _trained(
    run: Run[Any], folder: Path, methods: Methods, images: Images, real: Reference, origin: dict[str, Any]
) -> dict[str, Any]:
    """How training ended, what it cost and where: from training.json, or by training."""
    path = folder / "training.json"
    if path.exists():
        return json.loads(path.read_text())
    device = images.pixels.device
    method = build(run, methods, images.spec, device)
    refuse_rounds(type(method), run.evaluate)
    refuse_few_samples(run.evaluate, run.train, method.chains(), real)
    look = brief(run.evaluate, run.train.evaluate_samples)

    def probe(method: Method, iteration: int) -> dict[str, Any]:
        pixels = draw(method, look.samples, look, run.seed, label=f"probe {iteration}")
        values = measure_images(pixels, real, look, run.seed, "fresh")
        return {f"{name}_fresh": value for name, value in values.items()}

    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    trainer = Trainer(
        method, images, run.train, folder, run.seed, folder.name, probe=probe, grid_steps=run.evaluate.steps
    )
    outcome = trainer.run()
    ended = {
        "status": outcome.status,
        "reason": outcome.reason,
        "training": training_costs(method, outcome, device),
        "provenance": origin,
    }
    write_atomically(path, json.dumps(plain(ended), indent=1, allow_nan=False) + "\n")
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
    refuse_rounds(type(trained.method), run.evaluate)
    refuse_few_samples(run.evaluate, None, trained.method.chains(), real)
    subject = Subject(trained.method, trained.checkpoint, folder, run.seed, origin)
    evaluations = evaluate(subject, real, run.evaluate)
    first = evaluations.get("fresh") or next(iter(evaluations.values()))
    if checkpoint is None:
        write_atomically(folder / "samples.png", (folder / first["folder"] / "samples.png").read_bytes())
    return {"metrics": metrics(evaluations), "protocol": first["protocol"], "evaluations": evaluations}
