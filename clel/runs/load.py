"""A trained run's method, from a checkpoint in its folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from clel.config import ConfigError
from clel.data import Images, load
from clel.machine.allocator import tune_allocator
from clel.machine.processor import float32_means_float32
from clel.methods.installed import installed_methods
from clel.methods.method import Method
from clel.runs.config import Methods, Run, build, choose_device, load_config
from clel.runs.record import read_record
from clel.storage import checkpoint
from clel.training.average import Average, refresh_parametrizations
from clel.training.identity import images_essence
from clel.training.length import lasting


@dataclass(frozen=True)
class Trained:
    """A method in evaluation mode with the weights of a checkpoint, the run and the training images it is of."""

    method: Method
    run: Run[Any]
    images: Images
    checkpoint: str


def untrained(folder: Path) -> bool:
    """Whether a run's folder holds no iteration of training: at most the state that training starts from."""
    begun = any(iteration > 0 for iteration, _ in checkpoint.listed(folder / "checkpoints"))
    return not begun and not (folder / "training.json").exists()


def doubts(folder: Path, run: Run[Any]) -> str:
    """What to say before the last weights of a run are sampled or measured; empty for one that was trained to its end.

    Raises:
        ConfigError: it holds no trained weights, or its training failed, so that nobody can mean them unasked.
    """
    record = read_record(folder) or {"status": "", "reason": None}
    status, reason = record["status"], record["reason"] or "without a reason"
    if status == "diverged":
        return f"{folder}: training diverged ({reason}); these are the weights of its last good checkpoint"
    found = checkpoint.listed(folder / "checkpoints")
    if status == "ok" or (folder / "training.json").exists() or not found:
        return ""  # loading it says that there is none
    at, total = found[-1][0], lasting(run).train.iterations
    what = f"iteration {at} of {total}" + (f"; its record says {status}: {reason}" if status else "")
    if at == 0:
        raise ConfigError(f"{folder}: nothing was trained ({what}). --checkpoint 0 takes what training starts from")
    if status == "error":
        raise ConfigError(f"{folder}: training failed ({what}). --checkpoint last takes its weights all the same")
    return f"{folder}: not trained to the end ({what}); these are the weights of its last checkpoint"


def checkpoints(folder: Path, which: str) -> list[Path]:
    """The checkpoint files of a run that `last`, `all` or an iteration names, oldest first.

    Raises:
        CheckpointError: there is none; ConfigError: none of that iteration.
    """
    held = checkpoint.listed(folder / "checkpoints")
    newest = checkpoint.newest(folder / "checkpoints") if which == "last" else None
    if not held or (which == "last" and newest is None):
        raise _no_weights(folder)
    if newest is not None:
        return [newest[0]]
    if which == "all":
        return [path for _, path in held]
    kept = {str(iteration): path for iteration, path in held}
    if which not in kept:
        raise ConfigError(f"--checkpoint is {which!r}; expected last, all, or one of {', '.join(kept)}")
    return [kept[which]]


def _no_weights(folder: Path) -> checkpoint.CheckpointError:
    """The error of a run without a readable checkpoint, with the way on that this run has."""
    place, n = folder / "checkpoints", len(checkpoint.listed(folder / "checkpoints"))
    said = f"{place}: no readable checkpoint" + (f", each of the {n} is damaged" if n else "")
    if not (folder / "training.json").exists():
        return checkpoint.CheckpointError(f"{said}; train the run {'again' if n else 'first'}")
    return checkpoint.CheckpointError(
        f"{said}: the trained weights are lost, the run's samples and numbers are not. To train it again remove "
        f"training.json and record.json in {folder}, and give the command that made it"
    )


def load_trained(
    folder: Path | str,
    methods: Methods | None = None,
    device: str = "auto",
    weights: Literal["averaged", "live"] = "averaged",
    path: Path | None = None,
) -> Trained:
    """A finished or interrupted run's method with the weights of a checkpoint, by default the last readable one.

    In the process float32 then means float32 (clel/machine/processor.py), as it did in training. Methods are those
    that are installed, unless others are given.

    Raises:
        ConfigError: no configuration, or other training images than then.
        CheckpointError: no readable checkpoint in the folder.
    """
    folder, methods = Path(folder), installed_methods() if methods is None else methods
    run = load_config(folder, methods)
    found = checkpoint.newest(folder / "checkpoints") if path is None else (path, checkpoint.load_checkpoint(path))
    if found is None:
        raise _no_weights(folder)
    path, state = found
    place = choose_device(device)
    tune_allocator(getattr(run.config, "engine", None))
    float32_means_float32()
    images = load(run.dataset, "train").to(place)
    seen, now = state["essence"]["images"], images_essence(images)
    if seen != now:
        raise ConfigError(
            f"{folder}: was trained on images {seen}; those of {run.dataset} are now {now}: other data under one name. "
            "Bring the old ones back, or train anew in another folder"
        )
    method = build(run, methods, images.spec, place)
    method.load_state_dict(state["method"])
    if weights == "averaged":
        average = Average(method, lasting(run).train.ema_half_life)
        average.load_state_dict(state["average"])
        average.copy_to(method)
    else:
        refresh_parametrizations(method)
        method.eval()
    # energies need a gradient where images ask for one, and weights are done with
    return Trained(method.requires_grad_(False), run, images, path.stem)
