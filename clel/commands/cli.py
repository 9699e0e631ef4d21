"""The command line: clel COMMAND ..., for any table of methods."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from importlib.metadata import version

from clel.commands.evaluate import evaluate_command
from clel.commands.fid import fid_command
from clel.commands.sample import sample_command
from clel.commands.stats import stats_command
from clel.commands.submit import submit_command
from clel.commands.train import train_command
from clel.config import ConfigError, choose
from clel.data import DataError
from clel.machine.allocator import let_engines_tune
from clel.machine.signals import Interrupted, exit_status
from clel.methods.installed import installed_methods
from clel.metrics import TooFewSamples
from clel.runs.config import Methods
from clel.storage.checkpoint import CheckpointError
from clel.storage.lock import Busy
from clel.storage.log import flush_output, shown_notices

COMMANDS: dict[str, Callable[[list[str], Methods], int]] = {
    "train": train_command,
    "sample": sample_command,
    "evaluate": evaluate_command,
    "fid": fid_command,
    "stats": stats_command,
    "submit": submit_command,
}

KEPT = {
    "train": "the same command goes on from the last checkpoint, where there was one yet",
    "evaluate": "samples and evaluations that were finished are kept; the same command goes on with the rest",
    "stats": "nothing was written but what the cache had got",
}
"""What an interrupted command leaves behind."""

USAGE = """usage: clel train METHOD[:PRESET] [--dry-run] [--out DIR] [options]   train, evaluate, record; resumes
       clel sample RUN [options]                                     images from a run's averaged weights
       clel evaluate RUN [options]                                   measure a run's samples, or its checkpoints
       clel fid A B [options]                                        measure any images A against any images B
       clel stats A [--out FILE.npz] [options]                       reference statistics of any images
       clel submit RUN --title TEXT --authors TEXT                   a finished run as one file: a row by others

METHOD[:PRESET] is one of
{methods}
`clel train METHOD[:PRESET] --help` explains every option, its unit, default and source; so do the other commands.
"""


def main(arguments: Sequence[str] | None = None, methods: Methods | None = None) -> int:
    """Run one command; returns the exit status: 0 done, 1 failed, 2 bad input, 3 diverged, 130 Ctrl-C, 143 SIGTERM."""
    if arguments is None:  # as a program: the process is ours
        let_engines_tune()
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    methods = installed_methods() if methods is None else methods
    if arguments[:1] == ["--version"]:
        print(version("clel-benchmark"))
        return 0
    if not arguments or arguments[0] in ("-h", "--help"):
        print(usage(methods))
        return 0 if arguments else 2
    try:
        command, rest = choose(COMMANDS, arguments[0], "command"), arguments[1:]
        if command is train_command and (not rest or rest[0].startswith("-")):
            print(usage(methods))
            return 0 if rest else 2
        with shown_notices():
            status = command(rest, methods)
            flush_output()
            return status
    except Interrupted as interrupted:
        print(f"\n{interrupted}; the same command goes on from there", file=sys.stderr)
        return interrupted.exit_status
    except BrokenPipeError:  # the reader of a long output has left
        return 1
    except KeyboardInterrupt as stop:
        print(f"\ninterrupted; {KEPT.get(arguments[0], 'nothing was written')}", file=sys.stderr)
        return exit_status(stop)
    except (Busy, ConfigError, DataError, CheckpointError, TooFewSamples, OSError) as error:
        print(f"clel: {error}", file=sys.stderr)
        return 2


def usage(methods: Methods) -> str:
    """The usage text with every method and preset."""
    lines = [f"  {name}: {', '.join(method.recipes())}" for name, method in methods.items()]
    return USAGE.format(methods="\n".join(lines))
