"""clel evaluate: measure a finished run, one of its checkpoints, or all that it kept."""

from __future__ import annotations

import json
import re
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from clel.commands.options import parse
from clel.config import require
from clel.data import load
from clel.evaluation.feature_choice import asked, settled
from clel.evaluation.score import collapsed
from clel.runs.config import Methods, choose_device, choose_method, load_config
from clel.runs.execute import measure, measured_on
from clel.runs.load import checkpoints, doubts
from clel.sampling.fresh import own_protocols
from clel.storage.atomic import refuse_unwritable_folder
from clel.storage.log import plain
from clel.storage.provenance import provenance

SETTINGS = (
    *("samples", "steps", "rounds", "beyond", "reference", "weights", "sampling_seeds", "bootstrap"),
    "batch",
)


@dataclass(frozen=True)
class EvaluateOptions:
    """How to measure a run again; what is not given is the run's own setting."""

    run: Annotated[Path, tyro.conf.Positional]
    """The run's folder. Samples and numbers go into its folder evaluations/; its record stays as it is."""
    protocol: Literal["clean", "paper", "both"] | None = None
    """clean: each chain from noise to the end. paper: disturbed between rounds, as the method's own authors do."""
    checkpoint: str | None = None
    """last, all (that were kept), or an iteration. The last if not given, unless training failed or never began."""
    samples: int | None = None
    """Fresh samples."""
    steps: int | None = None
    """Langevin steps of a chain."""
    rounds: int | None = None
    """Rounds of the steps, as equal as may be, each followed by a measurement."""
    beyond: float | None = None
    """Times the steps that chains are followed, for distances beyond them; 1 for no further."""
    features: str | None = None
    """classifier, lite0, inception-clean, inception-pytorch, inception-tensorflow or auto; several with commas between
    them: the main one, and those that the same samples are measured in too."""
    reference: Literal["train", "test"] | None = None
    """Split of the data set that samples are compared with."""
    weights: Literal["averaged", "live"] | None = None
    """Weights of the chains: averaged over training, or the last ones."""
    sampling_seeds: int | None = None
    """Times that the clean protocol is repeated with other random numbers."""
    bootstrap: int | None = None
    """Resamplings for the interval of a single distance; 0 for none."""
    infinity: bool = False
    """Also extrapolate the distance to infinitely many samples."""
    batch: int | None = None
    """Chains run at a time."""
    seed: int | None = None
    """Seed of the chains."""
    device: str = "auto"
    """cpu, cuda, cuda:1, ...; auto takes a GPU where there is one."""


def evaluate_command(arguments: list[str], methods: Methods) -> int:
    """Prints, as JSON, metrics with their protocol: one table for one checkpoint, a list for all."""
    o = parse(EvaluateOptions, None, arguments, "clel evaluate", "Measure fresh samples and the buffer of a run.")
    run = load_config(o.run, methods)
    given = {name: getattr(o, name) for name in SETTINGS if getattr(o, name) is not None}
    if o.features is not None:
        given |= asked(o.features)
    if o.protocol is not None:
        given["protocols"] = ("clean", "paper") if o.protocol == "both" else (o.protocol,)
    settings = replace(run.evaluate, **given, infinity=o.infinity or run.evaluate.infinity)
    settings = settled(settings, run.dataset)
    kind = choose_method(methods, run.method)
    possible = tuple(name for name in settings.protocols if name in own_protocols(kind, run.config))
    if possible and possible != settings.protocols:
        print(f"note: {kind.title} has no protocol paper of its own; measured: clean", file=sys.stderr)
        settings = replace(settings, protocols=possible)
    run = replace(run, evaluate=settings, seed=run.seed if o.seed is None else o.seed, device=o.device)
    device = choose_device(o.device)
    require(o.protocol != "paper" or o.sampling_seeds is None, "--sampling-seeds repeats the clean protocol only")
    origin = provenance(device)
    doubt = doubts(o.run, run) if o.checkpoint is None else ""
    paths = checkpoints(o.run, o.checkpoint or "last")
    if doubt:
        print(f"warning: {doubt}", file=sys.stderr)
    refuse_unwritable_folder(o.run / "evaluations")
    real = measured_on(run, load(run.dataset, "train").to(device))
    found: list[dict[str, Any]] = []
    for path in paths:
        found.append({"checkpoint": path.stem, **measure(run, o.run, methods, real, origin, path)})
    for one in found:
        found_in = ((re.fullmatch("(?:(.+)_)?fid_([a-z]+)", name), one["metrics"][name]) for name in one["metrics"])
        named = sorted((m[1] or "", m[2], v) for m, v in found_in if m and m[2] in one["evaluations"])
        sources = (f"{source} {value:.4g}{f' ({space})' if space else ''}" for space, source, value in named)
        print(f"{one['checkpoint']}: distance " + ", ".join(sources), file=sys.stderr)
        if said := collapsed(one["metrics"], "fresh"):
            print(f"warning: {one['checkpoint']}: {said}", file=sys.stderr)
    print(json.dumps(plain(found if o.checkpoint == "all" else found[0]), indent=1))
    return 0
