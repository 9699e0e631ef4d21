"""python -m experiments table1: one command a table of the paper, or a study; and what is asked of a submitted one."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import tyro

from clel.commands.options import refuse_empty
from clel.config import ConfigError, choose
from clel.data import DataError
from clel.machine.signals import exit_status
from clel.storage.checkpoint import CheckpointError
from clel.storage.lock import Busy
from clel.storage.log import flush_output, shown_notices
from experiments.borrowed import command as borrowed
from experiments.chains import command as chains
from experiments.commands import again, everything, readme, report, sweeps
from experiments.commands.artefacts import MEASURED
from experiments.engines import command as engines
from experiments.features import command as features
from experiments.printing import chosen, latex
from experiments.printing.drawing import papers
from experiments.runs.cell import BUSY
from experiments.slurm.clients import SchedulerError
from experiments.speed import bench
from experiments.speed import command as speed
from experiments.sweep.launching import refuse
from experiments.table1 import command as table1
from experiments.tune import command as tune

COMMANDS: dict[str, tuple[type, Callable[[Any], int]]] = {
    "table1": (table1.Table1, table1.main),
    "report": (report.Report, report.main),
    "tune": (tune.Tune, tune.main),
    **{artefact.name: (artefact.options, artefact.main) for artefact in MEASURED},
    "all": (everything.All, everything.main),
    "chains": (chains.Chains, chains.main),
    "features": (features.Features, features.main),
    "speed-memory": (speed.SpeedMemory, speed.main),
    "gpu-natural": (borrowed.GpuNatural, borrowed.main),
    "engines": (engines.Engines, engines.main),
    "bench": (bench.Bench, bench.main),
    "readme": (readme.Readme, readme.main),
    "latex": (latex.Latex, latex.main),
    "columns": (chosen.Columns, chosen.main),
    "status": (sweeps.Status, sweeps.status),
    "logs": (sweeps.Logs, sweeps.logs),
    "cancel": (sweeps.Cancel, sweeps.cancel),
    "resume": (again.Resume, again.resume),
    "collect": (again.Collect, again.collect),
}


def main(arguments: list[str] | None = None) -> int:
    """Run one experiment; returns the exit status: 0 done, 1 something failed, 2 bad input, 75 other processes
    are at work on what is missing, 130 Ctrl-C, 143 SIGTERM.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    if not arguments or arguments[0] in ("-h", "--help"):
        print(f"usage: python -m experiments {{{','.join(COMMANDS)}}} [options]; --help after a name explains them")
        return 0 if arguments else 2
    try:
        options, run = choose(COMMANDS, arguments[0], "experiment")
        with shown_notices():
            refuse_empty(arguments)
            given: Any = tyro.cli(options, args=arguments[1:], prog=f"python -m experiments {arguments[0]}")
            refuse(given)
            with papers(getattr(given, "paper", False)):
                status = run(given)
            flush_output()
            return status
    except BrokenPipeError:  # the reader of a long output has left
        return 1
    except Busy as busy:
        print(f"experiments: {busy}", file=sys.stderr)
        return BUSY
    except (CheckpointError, ConfigError, DataError, SchedulerError, OSError) as error:
        print(f"experiments: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt as stop:
        print("interrupted; what is finished stands, and the same command goes on from there", file=sys.stderr)
        return exit_status(stop)
