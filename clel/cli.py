"""The command line: clel train | sample | evaluate, for any table of methods."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, make_dataclass, replace
from importlib.metadata import entry_points, version
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import tyro

from clel.checkpoint import CheckpointError
from clel.clel import CLEL
from clel.config import ConfigError, choose, require, to_dict
from clel.data import DataError, load
from clel.evaluate import draw, reference, refuse_few_samples
from clel.grid import save_grid
from clel.interrupt import Interrupted
from clel.lock import Busy
from clel.log import plain
from clel.method import Method
from clel.metrics import TooFewSamples, classifier_space
from clel.run import Methods, Run, execute, load_trained, measure, resolve

USAGE = """usage: clel train METHOD[:PRESET] [--dry-run] [--out DIR] [options]   train, evaluate, record; resumes
       clel sample RUN [options]                                     images from a run's averaged weights
       clel evaluate RUN [options]                                   measure a run's samples

METHOD[:PRESET] is one of
{methods}
`clel train METHOD[:PRESET] --help` explains every option, its unit, default and source; so do the other two commands.
"""


def installed_methods() -> dict[str, type[Method]]:
    """CLEL, and the methods of every installed package with an entry point of the group "clel.methods"."""
    methods: dict[str, type[Method]] = {"clel": CLEL}
    for entry in entry_points(group="clel.methods"):
        methods.update(entry.load())
    return methods


def main(arguments: Sequence[str] | None = None, methods: Methods | None = None) -> int:
    """Run one command; returns the exit status: 0 done, 1 failed, 2 bad input, 3 diverged, 130 interrupted."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    methods = installed_methods() if methods is None else methods
    commands = {"train": _train, "sample": _sample, "evaluate": _evaluate}
    if arguments[:1] == ["--version"]:
        print(version("clel-benchmark"))
        return 0
    if not arguments or arguments[0] in ("-h", "--help"):
        print(usage(methods))
        return 0 if arguments else 2
    try:
        return choose(commands, arguments[0], "command")(arguments[1:], methods)
    except Interrupted as interrupted:
        print(f"\n{interrupted}; the same command goes on from there", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of a long output has left
        return 1
    except KeyboardInterrupt:
        print("\ninterrupted; the same command goes on from the last checkpoint", file=sys.stderr)
        return 130
    except (Busy, ConfigError, DataError, CheckpointError, TooFewSamples, OSError) as error:
        print(f"clel: {error}", file=sys.stderr)
        return 2


def usage(methods: Methods) -> str:
    """The usage text with every method and preset."""
    lines = [f"  {name}: {', '.join(method.recipes())}" for name, method in methods.items()]
    return USAGE.format(methods="\n".join(lines))


def parse(kind: Any, default: Any, arguments: list[str], program: str, description: str) -> Any:
    """Options from the command line for the dataclass `kind`; leaves with the nearest names on an unknown option."""
    return tyro.cli(kind, default=default, args=arguments, prog=program, description=description)


def _train(arguments: list[str], methods: Methods) -> int:
    if not arguments or arguments[0].startswith("-"):
        print(usage(methods))
        return 0 if arguments else 2
    method, _, preset = arguments[0].partition(":")
    run = resolve(methods, method, preset or "quick")
    # the run's fields stand beside the command's own, without a prefix
    run_type = Annotated[Run[type(run.config)], tyro.conf.arg(name=""), tyro.conf.AvoidSubcommands]  # type: ignore
    fields = [
        ("run", run_type, field(default=run)),
        ("out", Annotated[Path | None, OUT], field(default=None)),
        ("dry_run", Annotated[bool, DRY_RUN], field(default=False)),
    ]
    options = parse(
        make_dataclass("Train", fields, frozen=True),
        None,
        arguments[1:],
        f"clel train {arguments[0]}",
        f"Train, evaluate and record {run.method} from its preset {run.preset}; goes on where a run was interrupted.",
    )
    chosen = replace(options.run, method=run.method, preset=run.preset)
    if options.dry_run:
        print(json.dumps({"name": chosen.name, **to_dict(chosen)}, indent=1))
        try:
            load(chosen.dataset, "train")
        except DataError as error:
            print(f"note: a real run would stop here: {error}", file=sys.stderr)
        return 0
    record = execute(chosen, options.out or Path("runs") / chosen.name, methods)
    print(json.dumps({k: record[k] for k in ("name", "status", "reason", "metrics", "training")}, indent=1))
    return {"ok": 0, "diverged": 3}.get(record["status"], 1)


OUT = tyro.conf.arg(help="The run's folder; runs/<name of the run> if not given. An interrupted run in it goes on.")
DRY_RUN = tyro.conf.arg(help="Print the resolved configuration as JSON and stop.")


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
    device: str = "auto"
    """cpu, cuda, cuda:1, ...; auto takes a GPU where there is one."""


def _sample(arguments: list[str], methods: Methods) -> int:
    o = parse(SampleOptions, None, arguments, "clel sample", "Fresh chains from noise under a run's averaged weights.")
    require(o.out.suffix in (".png", ".npy"), f"--out is {o.out}; expected a name that ends in .png or .npy")
    require(o.n >= 1, f"--n is {o.n}; expected at least 1")
    method, run, _ = load_trained(o.run, methods, o.device)
    steps = run.evaluate.steps if o.steps is None else o.steps
    pixels = draw(method, o.n, replace(run.evaluate, steps=steps), o.seed, "clel sample")
    if o.out.suffix == ".png":
        save_grid(pixels, o.out)
    else:
        np.save(o.out, pixels.numpy())
    print(o.out)
    return 0


@dataclass(frozen=True)
class EvaluateOptions:
    """How to measure a run's averaged weights again."""

    run: Annotated[Path, tyro.conf.Positional]
    """The run's folder."""
    samples: int | None = None
    """Fresh samples; the run's own setting if not given."""
    steps: int | None = None
    """Langevin steps of a chain; the run's own setting if not given."""
    seed: int | None = None
    """Seed of the chains; the run's own if not given."""
    device: str = "auto"
    """cpu, cuda, cuda:1, ...; auto takes a GPU where there is one."""


def _evaluate(arguments: list[str], methods: Methods) -> int:
    o = parse(EvaluateOptions, None, arguments, "clel evaluate", "Measure fresh samples and the buffer of a run.")
    method, run, images = load_trained(o.run, methods, o.device)
    held_out = load(run.dataset, "test")
    changes = {name: getattr(o, name) for name in ("samples", "steps") if getattr(o, name) is not None}
    run = replace(run, evaluate=replace(run.evaluate, **changes), seed=run.seed if o.seed is None else o.seed)
    real = reference(images, classifier_space(images, held_out.to(images.pixels.device)))
    refuse_few_samples(run.evaluate, None, method.chains(), real)
    result, _ = measure(method, real, run, o.run.name)
    print(json.dumps(plain(result), indent=1))
    return 0
