"""A trained run's method, from a checkpoint in its folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from clel import checkpoint
from clel.average import Average, refresh_parametrizations
from clel.config import ConfigError
from clel.data import Images, load
from clel.essence import images_essence
from clel.method import Method
from clel.run import Methods, Run, build, choose_device, load_config


@dataclass(frozen=True)
class Trained:
    """A method in evaluation mode with the weights of a checkpoint, the run and the training images it is of."""

    method: Method
    run: Run[Any]
    images: Images
    checkpoint: str


def load_trained(
    folder: Path,
    methods: Methods,
    device: str = "auto",
    weights: Literal["averaged", "live"] = "averaged",
    path: Path | None = None,
) -> Trained:
    """A finished or interrupted run's method with the weights of a checkpoint, by default the last readable one.

    Raises:
        ConfigError: no configuration, or other training images than then.
        CheckpointError: no readable checkpoint in the folder.
    """
    run = load_config(folder, methods)
    found = checkpoint.newest(folder / "checkpoints") if path is None else (path, checkpoint.load(path))
    if found is None:
        raise checkpoint.CheckpointError(f"{folder / 'checkpoints'}: no readable checkpoint; train the run first")
    path, state = found
    place = choose_device(device)
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
        average = Average(method, run.train.ema_half_life)
        average.load_state_dict(state["average"])
        average.copy_to(method)
    else:
        refresh_parametrizations(method)
        method.eval()
    return Trained(method, run, images, path.stem)
