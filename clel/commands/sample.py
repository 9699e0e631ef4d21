"""clel sample: images from a run's averaged weights."""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import numpy as np
import tyro

from clel.commands.options import parse
from clel.config import require
from clel.grid import save_grid
from clel.run import Methods, load_config
from clel.sampling import draw
from clel.trained import checkpoints, doubts, load_trained


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
    seed: int = 0
    """Seed of the chains."""
    checkpoint: str | None = None
    """last, or an iteration. The last if not given, unless training failed or never began."""
    device: str = "auto"
    """cpu, cuda, cuda:1, ...; auto takes a GPU where there is one."""


def sample(arguments: list[str], methods: Methods) -> int:
    """Fresh chains of a run, as a grid or an array."""
    o = parse(SampleOptions, None, arguments, "clel sample", "Fresh chains from noise under a run's averaged weights.")
    require(o.out.suffix in (".png", ".npy"), f"--out is {o.out}; expected a name that ends in .png or .npy")
    require(o.n >= 1, f"--n is {o.n}; expected at least 1")
    require(o.checkpoint != "all", "--checkpoint is all; expected last or an iteration")
    doubt = doubts(o.run, load_config(o.run, methods)) if o.checkpoint is None else ""
    (path,) = checkpoints(o.run, o.checkpoint or "last")
    if doubt:
        print(f"warning: {doubt}", file=sys.stderr)
    trained = load_trained(o.run, methods, o.device, path=path)
    evaluate = trained.run.evaluate
    if o.steps is not None:
        evaluate = replace(evaluate, steps=o.steps)
    pixels = draw(trained.method, o.n, evaluate, o.seed, "clel sample")
    if o.out.suffix == ".png":
        save_grid(pixels, o.out)
    else:
        np.save(o.out, pixels.numpy())
    print(o.out)
    return 0
