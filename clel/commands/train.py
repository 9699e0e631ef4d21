"""clel train: train, evaluate and record one run."""

from __future__ import annotations

import json
import sys
from dataclasses import field, make_dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import torch
import tyro

from clel.commands.options import parse
from clel.config import ConfigError, require, to_dict
from clel.data import DataError, load
from clel.evaluation.feature_choice import settled
from clel.evaluation.score import collapsed
from clel.runs.config import Methods, Run, build, check_engine, choose_method, engines, resolve, with_engine
from clel.runs.execute import execute
from clel.training.length import lasting

OUT = tyro.conf.arg(help="The run's folder; runs/<name of the run> if not given. An interrupted run in it goes on.")
DRY_RUN = tyro.conf.arg(help="Print the resolved configuration as JSON and stop.")


def train_command(arguments: list[str], methods: Methods) -> int:
    """METHOD[:PRESET] and options; exit status 0 for a run that ended well, 3 for one that diverged."""
    method, _, preset = arguments[0].partition(":")
    run = resolve(methods, method, preset or "quick")
    # the run's fields stand beside the command's own, without a prefix
    run_type = Annotated[Run[type(run.config)], tyro.conf.arg(name=""), tyro.conf.AvoidSubcommands]  # type: ignore
    fields = [
        ("run", run_type, field(default=run)),
        ("out", Annotated[Path | None, OUT], field(default=None)),
        ("engine", Annotated[str | None, _engine_option(run)], field(default=None)),
        ("dry_run", Annotated[bool, DRY_RUN], field(default=False)),
    ]
    options = parse(
        make_dataclass("Train", fields, frozen=True),
        None,
        arguments[1:],
        f"clel train {arguments[0]}",
        f"Train, evaluate and record {run.method} from its preset {run.preset}; goes on where a run was interrupted.",
    )
    kind = choose_method(methods, run.method)
    config = kind.settled(options.run.config)
    measured = settled(options.run.evaluate, options.run.dataset)
    chosen = replace(options.run, method=run.method, preset=run.preset, config=config, evaluate=measured)
    if options.engine is not None:
        check_engine([chosen], options.engine)
        named = chosen.config.engine
        require(
            named in (run.config.engine, options.engine),
            f"--engine is {options.engine!r} and --config.engine {named!r}; give one of the two",
        )
        chosen = with_engine(chosen, options.engine)
    if options.dry_run:
        print(json.dumps({"name": chosen.name, **to_dict(chosen)}, indent=1))
        try:
            kind.require_inputs(config)
            build(chosen, methods, load(chosen.dataset, "train").spec, torch.device("cpu"))
        except (ConfigError, DataError) as error:
            print(f"note: a real run would stop here: {error}", file=sys.stderr)
        return 0
    if said := long_warmup(chosen):
        print(f"warning: {said}", file=sys.stderr)
    record = execute(chosen, options.out or Path("runs") / chosen.name, methods)
    print(json.dumps({k: record[k] for k in ("name", "status", "reason", "metrics", "training")}, indent=1))
    if said := collapsed(record["metrics"], "fresh"):
        print(f"warning: {said}", file=sys.stderr)
    return {"ok": 0, "diverged": 3}.get(record["status"], 1)


def long_warmup(run: Run[Any]) -> str:
    """What to say where the learning rate never reaches what was asked for; empty where it does."""
    warmup, iterations = getattr(lasting(run).config, "warmup", 0), lasting(run).train.iterations
    if not isinstance(warmup, int) or warmup < iterations:
        return ""
    text = f"the learning rate warms up over {warmup:,} iterations, and training has {iterations:,}"
    return f"{text}: it stays below lr to the end. Lower --config.warmup"


def _engine_option(run: Run[Any]) -> Any:
    known = engines(run)
    if not known:
        return tyro.conf.arg(help=f"{run.method} has no choice of engine.")
    # not a Literal: a misspelt one is to be told the nearest name, as everywhere
    return tyro.conf.arg(help="Short for --config.engine.", metavar=f"{{{','.join(known)}}}")
