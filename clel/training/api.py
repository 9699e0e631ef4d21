"""Training from Python, on a user's own images, in one call."""

from __future__ import annotations

from pathlib import Path

from clel.data import Images
from clel.machine.processor import float32_means_float32
from clel.methods.method import Method
from clel.methods.settings import TrainConfig
from clel.storage.lock import locked
from clel.training.trainer import Outcome, Trainer


def train(method: Method, images: Images, config: TrainConfig, folder: Path | str, seed: int = 0) -> Outcome:
    """Train `method` on `images` with checkpoints, log and sample grids in `folder`; called again, it resumes there.

    Afterwards the method has the averaged weights and is in evaluation mode, ready for `sample` and `energy`; and
    float32 means float32 in the process (clel/machine/processor.py).

    Raises:
        ConfigError: the folder holds a run of another configuration or other images.
        Busy: another process trains in the folder.
        Interrupted: on SIGTERM or Ctrl-C, with the state saved.
    """
    float32_means_float32()
    trainer = Trainer(method, images, config, folder, seed)
    with locked(Path(folder)):
        outcome = trainer.run()
    trainer.average.copy_to(method)
    return outcome
