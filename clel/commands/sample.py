"""clel sample: images from a run's averaged weights."""

from __future__ import annotations

import io
import math
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import tyro

from clel.commands.options import parse
from clel.commands.towards import asked_for, drawn_towards
from clel.config import require
from clel.data.image_grid import save_grid
from clel.runs.config import Methods, load_config
from clel.runs.load import checkpoints, doubts, load_trained
from clel.sampling.conditional import Guidance
from clel.sampling.fresh import draw_fresh
from clel.storage.atomic import refuse_unwritable, write_atomically


@dataclass(frozen=True)
class SampleOptions:
    """What to sample from a run's averaged weights."""

    run: Annotated[Path, tyro.conf.Positional]
    """The run's folder."""
    out: Path = Path("samples.png")
    """Where to: .png for a grid, .npy for uint8 [N, C, H, W]."""
    n: int = 64
    """Images."""
    steps: int | None = None
    """Langevin steps of a chain; the run's own evaluation steps if not given."""
    classes: str = ""
    """Towards classes, with CLEL: numbers or names separated by commas, or all. --n images, equally many of each."""
    like: str | None = None
    """Towards images, with CLEL: a file or folder of them. --n images, equally many of each."""
    with_: Annotated[str, tyro.conf.arg(name="with")] = ""
    """Towards attributes, with CLEL: red,circle for both at once, red/blue for chains of which each has one of them."""
    without: str = ""
    """Away from attributes: large,dark for neither."""
    weight: float = 0.02
    """w in p(x | z) ~ exp(-E(x) + w u(x).z): how hard --classes and --like pull, and each attribute. As the sweep on
    digits chose, like --centred, --spread and --restarts (docs/reference/protocol.md)."""
    centred: bool = True
    """Take the mean of all latents off a class's or an attribute's first, so that what all share pulls nowhere."""
    start: Literal["noise", "buffer"] = "noise"
    """Where chains towards something begin: uniform noise, or the replay buffer of training."""
    rounds: int = 1
    """Parts that the steps of chains towards something are divided into, for --disturbed."""
    disturbed: bool = False
    """Before each round disturb chains towards something as the method's authors do (docs/reference/protocol.md)."""
    spread: float = 2.0
    """Each chain towards a class goes to one of its images too, so hard: 0 not at all, 1 as hard as to the class."""
    restarts: int = 8
    """Times that chains start anew whose u(x) or h(x) is nearer to another class (or value of an attribute)."""
    seed: int = 0
    """Seed of the chains."""
    checkpoint: str | None = None
    """last, or an iteration. The last if not given, unless training failed or never began."""
    device: str = "auto"
    """cpu, cuda, cuda:1, ...; auto takes a GPU where there is one."""


def sample_command(arguments: list[str], methods: Methods) -> int:
    """Fresh chains of a run, as a grid or an array."""
    o = parse(SampleOptions, None, arguments, "clel sample", "Fresh chains from noise under a run's averaged weights.")
    require(o.out.suffix in (".png", ".npy"), f"--out is {o.out}; expected a name that ends in .png or .npy")
    require(o.n >= 1, f"--n is {o.n}; expected at least 1")
    composed = o.with_ or o.without
    require(
        sum(map(bool, (o.classes, o.like, composed))) < 2,
        "--classes, --like, and --with or --without: give one of the three",
    )
    require(o.checkpoint != "all", "--checkpoint is all; expected last or an iteration")
    run = load_config(o.run, methods)
    doubt = doubts(o.run, run) if o.checkpoint is None else ""
    (path,) = checkpoints(o.run, o.checkpoint or "last")
    if doubt:
        print(f"warning: {doubt}", file=sys.stderr)
    trained = load_trained(o.run, methods, o.device, path=path)
    refuse_unwritable(o.out, o.n * math.prod(trained.images.spec.shape))
    evaluate = trained.run.evaluate
    if o.steps is not None:
        evaluate = replace(evaluate, steps=o.steps)
    towards = asked_for(
        trained.method,
        trained.images,
        classes=o.classes,
        like=o.like,
        with_=o.with_,
        without=o.without,
        centred=o.centred,
    )
    if towards is None:
        pixels, columns = draw_fresh(trained.method, o.n, evaluate, o.seed, "clel sample"), 8
    else:
        guidance = Guidance(o.weight, evaluate.steps, o.centred, o.start, o.rounds, o.disturbed, o.spread, o.restarts)
        pixels, columns = drawn_towards(trained.method, towards, o.n, guidance, evaluate.batch, o.seed)
    if o.out.suffix == ".png":
        save_grid(pixels, o.out, columns)
    else:
        memory = io.BytesIO()
        np.save(memory, pixels.numpy())
        write_atomically(o.out, memory.getvalue())
    print(o.out)
    return 0
