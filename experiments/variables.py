"""The variables of `make`: the one place that knows their names, meanings and checks (targets.py has who takes which).

    python -m experiments.variables TARGET      what `make TARGET` runs
    python -m experiments.variables help        what `make help` prints

Values come from make's own list of what was typed (MAKEFLAGS) and from the environment, and go to the program as they
are: no shell and no make expands them. Nothing but the standard library is imported, so that help needs no set-up.
"""

from __future__ import annotations

import difflib
import os
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass

from experiments.targets import TARGETS

MAKES_OWN = ("PYTHON", "PY", "BASE_PYTHON", "CONSTRAINTS", "TEST_WORKERS", "TEST_OPTIONS")
"""Variables that the Makefile itself reads."""
SHELLS = ("COLUMNS",)
"""Variables that shells set for purposes of their own: only what was typed counts. (That is the terminal's width.)"""
ON, OFF = ("1", "yes", "true"), ("0", "no", "false")


class VariableError(ValueError):
    """What was typed cannot be meant; one line that says what can."""


@dataclass(frozen=True)
class Variable:
    """meaning: a sentence. kind: text, whole, number, switch (on or off) or list (of texts, with commas)."""

    meaning: str
    kind: str = "text"


VARIABLES = {
    "PROFILE": Variable("smoke, quick, evening, small or paper: the size of the whole experiment"),
    "SEEDS": Variable("seeds 0, 1, ... of each row", "whole"),
    "METHODS": Variable("rows, with commas: igebm,clel or clel:large; all if not given"),
    "DATASET": Variable("a name or a path; @16 behind it averages the images to 16x16"),
    "OUT": Variable("folder of results"),
    "PLAN": Variable("1 prints what would run, with time, memory and disk, and stops", "switch"),
    "REPORT": Variable("1 makes tables and figures again from what was measured", "switch"),
    "COLUMNS": Variable("columns of the table to write beside it, by words of their headings: method,distance,time"),
    "PAPER": Variable("1 writes figures as PDF too, at the width of a paper's column", "switch"),
    "TABLE": Variable("a table in Markdown, such as results/quick/table1.md"),
    "LOCAL": Variable("1 shows the tables on this machine, even where there are sweeps", "switch"),
    "EVERY": Variable("seconds after which it is shown again, as long as something is at work", "number"),
    "DEVICE": Variable("cpu, cuda, cuda:1, ... or auto"),
    "WORKERS": Variable("runs side by side", "whole"),
    "RUNS_PER_GPU": Variable("runs that share one GPU", "whole"),
    "CLUSTER": Variable("local, debug (one after the other, in one process) or slurm"),
    "FEATURES": Variable("classifier, lite0, inception-clean, ...; several with commas; dinov2 for make weights"),
    "PROTOCOLS": Variable("sampling protocols: clean or clean,paper"),
    "SAMPLING_SEEDS": Variable("times that each trained model is sampled", "whole"),
    "ENGINE": Variable("engine of every method that has it: exact, float32, bfloat16, fast"),
    "MINUTES": Variable("train every method for so long, instead of its preset's iterations", "number"),
    "SET": Variable("a row for each value: 'langevin.steps=10,30; lr=0.001'"),
    "RATES": Variable("1 or 0: rows at the plain EBM's learning rate, or none", "switch"),
    "EXTERNAL": Variable("a table (CSV) of samples by others"),
    "PROJECT": Variable("1 takes the project's own runs where there are such", "switch"),
    "ARCHIVE": Variable("1 only keeps the finished runs in short, in OUT/records", "switch"),
    "AFRESH": Variable("1 trains also what the project's file has", "switch"),
    "KEEP": Variable("1 writes the outcome into the project's file", "switch"),
    "WEIGHT": Variable("how hard guided chains are pulled", "number"),
    "STEPS": Variable("Langevin steps of guided chains", "whole"),
    "CENTRED": Variable("1 or 0: the mean of all latents is taken off first", "switch"),
    "SPREAD": Variable("pull of each chain to one image of its class, as a share of that to the class", "number"),
    "RESTARTS": Variable(
        "times that chains start anew whose u(x) or h(x) is nearer to what was not asked for", "whole"
    ),
    "START": Variable("noise or buffer: where guided chains begin"),
    "ROUNDS": Variable("measured rounds of each benchmark; for conditional parts of the steps", "whole"),
    "DISTURBED": Variable("1 disturbs guided chains between rounds", "switch"),
    "EACH": Variable("chains a class", "whole"),
    "ASKED": Variable("triples of attributes: 'red,circle,large; blue,square,dark'"),
    "SETS": Variable("sets of images out of distribution, with commas; all that are there if not given"),
    "PREPARATION": Variable("how images are prepared: suite, or as the code of clel, igebm, icd or jem does it"),
    "BETA": Variable("beta of E(x, h(x))", "number"),
    "STUDIES": Variable("ablations: components, beta, encoder, energy, negatives, ladder; all if not given"),
    "OOD": Variable("set that ablations detect; none for distances alone"),
    "IMAGES": Variable("images of a rung", "whole"),
    "SIDES": Variable("sides in pixels, with commas: 96,224", "list"),
    "BATCH": Variable("images of an iteration, the same for every method", "whole"),
    "THREADS": Variable("threads of the CPU", "whole"),
    "SCALING": Variable("0 leaves out how cost grows with size", "switch"),
    "SIDE_BY_SIDE": Variable("1 measures several runs at once on the device too", "switch"),
    "SELECT": Variable("only benchmarks that match, as pytest's -k has it"),
    "BASELINE": Variable("file of the times that were kept"),
    "LIMIT": Variable("ratio from which on a benchmark counts as slower", "number"),
    "FORCE": Variable("1 does it even under load, or where Slurm cannot say", "switch"),
    "BUDGET": Variable("minutes after which all has ended, packing included", "number"),
    "SAMPLES": Variable("fresh chains of each method", "whole"),
    "SWEEP": Variable("name of a sweep; the latest if not given"),
    "RUN": Variable("a run's name, or enough of its beginning"),
    "PARTITION": Variable("partition of the cluster"),
    "GPUS": Variable("GPUs of a run", "whole"),
    "CPUS": Variable("cores of a run", "whole"),
    "MEMORY": Variable("memory of a run in GB", "number"),
    "LIMIT_MINUTES": Variable("time limit of a job in minutes; a run that needs longer is requeued", "whole"),
    "SLURM": Variable("more of sbatch: 'account=x,qos=y'"),
    "SETUP": Variable("shell commands before each run: 'module load cuda'"),
    "PARALLEL": Variable("runs of an array at once", "whole"),
    "REQUEUES": Variable("times that a run is requeued at most", "whole"),
    "NOTICE": Variable("seconds before the limit at which a run saves its state", "whole"),
    "INPUTS": Variable("bad inputs that are tried", "whole"),
    "KILLS": Variable("trainings that are killed and go on", "whole"),
    "SEED": Variable("seed of what is tried", "whole"),
}

CHOICES = {"RATES", "CENTRED"}
"""Switches whose option takes True or False, since neither is a third thing."""
HINTS = {
    ("resume", "MINUTES"): "MINUTES is how long runs train, which a resumed one keeps; a job's limit is LIMIT_MINUTES"
}


def arguments(target: str, typed: Mapping[str, str], environment: Mapping[str, str] | None = None) -> list[str]:
    """The program's arguments for what was typed after make, and what the environment has of the target's variables.

    Raises:
        VariableError: an unknown variable, one that the target does not take, or a value that it cannot have.
    """
    about = TARGETS[target]
    for name in typed:
        if name in MAKES_OWN or name in about.takes:
            continue
        if (target, name) in HINTS:
            raise VariableError(HINTS[target, name])
        if name in VARIABLES:
            raise VariableError(f"takes no {name}; {_nearest(name, about.takes)}")
        raise VariableError(f"unknown variable {name}; {_nearest(name, about.takes)}")
    around = {name: value for name, value in (environment or {}).items() if name not in SHELLS}
    given = {name: value for name, value in around.items() if name in about.takes} | dict(typed)
    found = ["-m", *about.command]
    for name, option in about.takes.items():
        value = given.get(name, "").strip()
        if value:
            found += _option(name, option, value)
            if name == "RUNS_PER_GPU" and option == "--runs-per-gpu" and "PARTITION" in about.takes:
                found += ["--slurm.runs-per-gpu", value]
    for name in about.needs:
        if not given.get(name, "").strip():
            raise VariableError(f"needs {name}=...: {VARIABLES[name].meaning}")
    return found


def _option(name: str, option: str, value: str) -> list[str]:
    kind = VARIABLES[name].kind
    if kind == "switch":
        if value not in (*ON, *OFF):
            raise VariableError(f"{name}={value}: it is on or off; give 1, yes or true, or 0, no or false")
        if name in CHOICES:
            return [option, str(value in ON)]
        return [option if value in ON else re.sub(r"^--((?:\w+\.)?)", r"--\1no-", option)]
    if kind in ("whole", "number"):
        try:
            (int if kind == "whole" else float)(value)
        except ValueError:
            what = "a whole number" if kind == "whole" else "a number"
            raise VariableError(f"{name}={value}: expected {what}: {VARIABLES[name].meaning}") from None
    if kind == "list":
        return [option, *filter(None, (part.strip() for part in value.split(",")))]
    if not option:
        return [value]
    return [f"{option}={value}"] if value.startswith("-") else [option, value]


def typed_in(flags: str) -> dict[str, str]:
    """The variables that were typed after make, as its MAKEFLAGS list them: NAME=value with backslashes before spaces,
    behind " -- "."""
    _, mark, text = f" {flags}".partition(" -- ")
    found = {}
    for word in re.findall(r"(?:\\.|[^\s\\])+", text) if mark else []:
        name, sign, value = re.sub(r"\\(.)", r"\1", word).partition("=")
        if sign:
            found[name.rstrip(":?+")] = value.replace("$$", "$")
    return found


def _nearest(name: str, known: Mapping[str, str]) -> str:
    close = difflib.get_close_matches(name, known, 1, 0.5)
    return (f"did you mean {close[0]}? " if close else "") + f"known: {', '.join(known) or 'none'}"


def helped() -> str:
    """The targets with what they do, and every variable with its meaning."""
    lines = [f"  make {name:<18} {target.help}" for name, target in TARGETS.items()]
    lines += ["", "variables (make TARGET NAME=value; those of a target: make TARGET HELP=1):"]
    return "\n".join([*lines, *(f"  {name:<16} {variable.meaning}" for name, variable in VARIABLES.items())])


def main() -> int:
    """Become the program that the target stands for; exit status 2 where what was typed cannot be meant."""
    target = sys.argv[1] if len(sys.argv) > 1 else "help"
    if target not in TARGETS:
        print(helped())
        return 0 if target == "help" else 2
    typed = typed_in(os.environ.get("MAKEFLAGS", ""))
    if typed.pop("HELP", ""):
        print(f"make {target}: {TARGETS[target].help}")
        print("\n".join(f"  {name:<16} {VARIABLES[name].meaning}" for name in TARGETS[target].takes))
        return 0
    try:
        found = arguments(target, typed, os.environ)
    except VariableError as error:
        print(f"make {target}: {error}", file=sys.stderr)
        return 2
    sys.stdout.flush()
    if "MAKELEVEL" in os.environ:  # what make has started does not outlive it (clel/machine/signals.py)
        os.environ["CLEL_LAUNCHER"] = str(os.getppid())
    os.execv(sys.executable, [sys.executable, *found])


if __name__ == "__main__":
    sys.exit(main())
