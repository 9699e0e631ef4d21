"""One run on a borrowed card: trained, then sampled, until its time is over; nothing of it is measured here.

python -m experiments.borrowed.child FOLDER UNTIL: FOLDER has the run's config.json, UNTIL is in seconds since 1970.
What it makes beside a run's own files lies in FOLDER/borrowed: weights.pt, samples-<n>.npy and drawn.json, which says
how training ended, how many samples there are, and how fast they came. All of it is written as soon as it is known.
"""

from __future__ import annotations

import io
import json
import os
import signal
import sys
import threading
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from baselines import METHODS
from clel.chains.switches import engine_of
from clel.data import Images, load
from clel.data.image_grid import save_grid
from clel.machine.allocator import let_engines_tune, tune_allocator
from clel.machine.processor import float32_means_float32
from clel.machine.signals import Interrupted, exit_status, interrupt_on_stops, leave_with_launcher
from clel.methods.method import Method
from clel.runs.config import Run, build, choose_device, load_config, save_config
from clel.runs.load import load_trained
from clel.runs.rate import timed
from clel.runs.record import read_training, write_training
from clel.sampling.fresh import batches
from clel.storage.atomic import naming_damage, write_atomically
from clel.storage.lock import locked
from clel.storage.log import plain, progress, shown_notices
from clel.storage.provenance import provenance
from clel.training.costs import training_costs
from clel.training.length import lasting
from clel.training.trainer import Trainer

FOLDER, DRAWN, WEIGHTS, BUFFER = "borrowed", "drawn.json", "weights.pt", "buffer.png"
SAMPLING = 0.1
"""Of the time in all, what training leaves to sampling at least."""
AGAIN = 1.2
"""Times its last batch's seconds that sampling must have left for another one."""


@dataclass
class Drawn:
    """What there is of a run.

    ended: status, reason, costs and origin of its training. checkpoint, engine, batch: of its samples. steps: of each
    chain. asked, samples: how many there were to be, and are. seconds: that these took. packed: of them in the pack.
    """

    ended: dict[str, Any]
    images: str
    checkpoint: str = ""
    engine: str = ""
    batch: int = 0
    steps: int = 0
    asked: int = 0
    samples: int = 0
    seconds: float = 0.0
    packed: int = 0
    provenance: dict[str, Any] = field(default_factory=dict)

    @property
    def rate(self) -> float:
        """Chains a second."""
        return self.samples / self.seconds if self.seconds else 0.0

    def write(self, folder: Path) -> None:
        """Into folder/drawn.json, as a whole."""
        values = plain(asdict(self) | {"chains_per_second": self.rate})
        write_atomically(folder / DRAWN, json.dumps(values, indent=1, allow_nan=False) + "\n")


def read_drawn(folder: Path) -> Drawn:
    """The inverse of `Drawn.write`."""
    path, remedy = folder / DRAWN, "the samples beside it are whole, but what they are of is lost: draw them anew"
    with naming_damage(path, remedy):
        values = json.loads(path.read_bytes())
        del values["chains_per_second"]
        return Drawn(**values)


def main(folder: Path, until: float) -> int:
    """Exit status: 0 trained to its end and sampled as far as the time went, 1 cut short."""
    began = time.time()
    with locked(folder):
        run = load_config(folder, METHODS)
        tune_allocator(getattr(run.config, "engine", None))  # before there is any tensor
        device = choose_device(run.device)
        float32_means_float32()
        origin = provenance(device)
        images = load(run.dataset, "train").to(device)
        ended, leave = train_until(run, folder, images, origin, until - SAMPLING * (until - began))
        drawn = Drawn(ended, images.content_hash(), provenance=origin)
        drawn.write(folder / FOLDER)
        if drawn.ended["training"]["iterations"] == 0:
            return 1
        trained = load_trained(folder, METHODS, run.device)
        drawn.checkpoint, drawn.engine = trained.checkpoint, engine_of(trained.method)
        save_model(trained.method, folder / FOLDER)
        drawn.write(folder / FOLDER)
        if not leave:
            sample_until(trained.method, run, drawn, folder, until)
        return 0 if ended["status"] == "ok" and not leave else 1


def train_until(
    run: Run[Any], folder: Path, images: Images, origin: dict[str, Any], until: float
) -> tuple[dict[str, Any], bool]:
    """How training ended, as training.json has it, which is written where it came to its end; and whether to leave."""
    if (ended := read_training(folder)) is not None:
        return ended, False
    device = images.pixels.device
    run = timed(run, METHODS, images)
    save_config(run, folder)
    method = build(run, METHODS, images.spec, device)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    trainer = Trainer(method, images, lasting(run).train, folder, run.seed, folder.name)
    over = threading.Event()

    def end() -> None:
        over.set()
        os.kill(os.getpid(), signal.SIGTERM)

    alarm = threading.Timer(max(0.0, until - time.time()), end)
    alarm.daemon = True
    alarm.start()
    try:
        outcome = trainer.run()
    except Interrupted as left:
        total = lasting(run).train.iterations
        reason = f"the time was over at iteration {trainer.iteration} of {total}" if over.is_set() else str(left)
        outcome = trainer.outcome("timeout", reason)
    finally:
        alarm.cancel()
    costs = training_costs(method, outcome, device)
    ended = {"status": outcome.status, "reason": outcome.reason, "training": costs, "provenance": origin}
    if outcome.status != "timeout":
        write_training(folder, ended)
    return ended, outcome.status == "timeout" and not over.is_set()


def save_model(method: Method, folder: Path) -> None:
    """weights.pt: the averaged weights, in float16, of the modules that tables count; a grid of the buffer's images."""
    counted = {id(t) for module in method.counted() for t in (*module.parameters(), *module.buffers())}
    named = [*method.named_parameters(), *method.named_buffers()]
    memory = io.BytesIO()
    torch.save({name: halved(tensor) for name, tensor in named if id(tensor) in counted}, memory)
    write_atomically(folder / WEIGHTS, memory.getvalue())
    chains = method.chains()
    if chains is not None:
        save_grid(chains[:64], folder / BUFFER)


def halved(tensor: Tensor) -> Tensor:
    """On the CPU, floating-point numbers in float16."""
    tensor = tensor.detach().cpu()
    return tensor.half() if tensor.is_floating_point() else tensor


def sample_until(method: Method, run: Run[Any], drawn: Drawn, folder: Path, until: float) -> None:
    """Draw fresh chains of the averaged weights, those that make table1 would, as many as the time allows."""
    place, config = folder / FOLDER, run.evaluate
    drawn.asked, drawn.steps, drawn.batch = config.samples, config.steps, config.batch
    for path in place.glob("samples-*.npy"):
        path.unlink()  # of a process before this one, perhaps of other weights
    began = last = time.time()
    with progress(folder.name, config.samples, unit="sample") as shown:
        for pixels in batches(method, config.samples, config, run.seed):
            save_array(pixels, place / f"samples-{drawn.samples:06d}.npy")
            drawn.samples += len(pixels)
            now = time.time()
            drawn.seconds = now - began
            drawn.write(place)
            shown.update(len(pixels))
            if now + AGAIN * (now - last) > until:
                break
            last = now


def save_array(pixels: Tensor, path: Path) -> None:
    """Write uint8 images as one array file, at once."""
    memory = io.BytesIO()
    np.save(memory, pixels.numpy())
    write_atomically(path, memory.getvalue())


if __name__ == "__main__":
    let_engines_tune()
    interrupt_on_stops()
    leave_with_launcher()
    try:
        with shown_notices():
            sys.exit(main(Path(sys.argv[1]), float(sys.argv[2])))
    except KeyboardInterrupt as stop:
        print(f"{Path(sys.argv[1]).name}: {stop or 'interrupted'}; what was saved stands", file=sys.stderr)
        sys.exit(exit_status(stop))
