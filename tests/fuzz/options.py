"""Option values that cannot be meant, for every method and command, and variables of make."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import tyro

from baselines import METHODS
from clel.commands.cli import main
from clel.config import to_dict
from clel.runs.config import resolve
from experiments.cli import COMMANDS
from experiments.sweep.launching import refuse
from experiments.targets import TARGETS
from experiments.variables import VARIABLES, VariableError, arguments
from tests.fuzz.judge import Try, ended

VALUES = (
    *("nan", "inf", "-inf", "-1", "0", "-0.0", "1e308", "1e-320", "1" + "0" * 30, "9" * 18, "1.5", "true"),
    *("", " ", "abc", "[]", "None", "{}", "a,b", ",", "é", "/", "..", "-", "--", "=", "'", '"', "\n", "x" * 300),
)
SHELL = (
    "$(touch {})",
    "`touch {}`",
    "; touch {}; :",
    "' ; touch {} ; '",
    '"; touch {}; "',
    "$(shell touch {})",
    "&& touch {}",
)


def trainings(draw: random.Random) -> Iterator[Try]:
    """clel train METHOD --OPTION VALUE, up to where a training would begin: the method is built."""
    while True:
        name = draw.choice(sorted(METHODS))
        key = draw.choice(_leaves(to_dict(resolve(METHODS, name, "quick"))))
        option, value = "--" + key.replace("_", "-"), draw.choice(VALUES)
        given = ["train", name, "--dry-run", "--device", "cpu", f"{option}={value}"]
        yield " ".join(given), lambda given=given: ended(lambda: main(given, METHODS)).short  # type: ignore[misc]


def commands(draw: random.Random, run: Path, samples: Path) -> Iterator[Try]:
    """sample, evaluate, fid and stats with one option of a bad value."""
    usual = {
        "sample": ([str(run)], ["--n=4", "--steps=1", "--out=drawn.png", "--device=cpu"]),
        "evaluate": ([str(run)], ["--samples=70", "--steps=1", "--device=cpu"]),
        "fid": ([str(samples), "digits:test"], ["--device=cpu", "--features=classifier"]),
        "stats": (["digits:test"], ["--device=cpu", "--features=classifier", "--out=s.npz"]),
    }
    further = {
        "sample": ["seed", "weights", "checkpoint", "classes", "like", "weight", "rounds", "start", "with", "without"],
        "evaluate": ["seed", "rounds", "beyond", "reference", "weights", "sampling-seeds", "bootstrap", "protocol"],
        "fid": ["seed", "layout", "bootstrap", "infinity"],
        "stats": ["layout"],
    }
    while True:
        name = draw.choice(sorted(usual))
        first, options = usual[name]
        options = list(options)
        changed = draw.choice([*(o.partition("=")[0] for o in options), *("--" + f for f in further[name])])
        options = [o for o in options if o.partition("=")[0] != changed] + [f"{changed}={draw.choice(VALUES)}"]
        first = [draw.choice(VALUES) if draw.random() < 0.2 else value for value in first]
        given = [name, *first, *options]
        yield " ".join(given), lambda given=given: ended(lambda: main(given, METHODS)).short  # type: ignore[misc]


def variables(draw: random.Random, place: Path) -> Iterator[Try]:
    """make TARGET NAME=VALUE: refused, or handed on as it was typed, up to where the program would begin."""
    while True:
        target, name = draw.choice(sorted(TARGETS)), draw.choice([*VARIABLES, "DEVICES", "X"])
        value = draw.choice(VALUES) if draw.random() < 0.7 else draw.choice(SHELL).format(place / "touched")
        yield f"make {target} {name}={value}", lambda t=target, n=name, v=value: _variable(t, n, v, place)  # type: ignore[misc]


def _variable(target: str, name: str, value: str, place: Path) -> str | None:
    handed: list[str] = []

    def run() -> int:
        try:
            handed.extend(arguments(target, {name: value}, {}))
        except VariableError as error:
            print(error)
            return 2
        program = handed[handed.index("experiments") + 1 :] if "experiments" in handed else handed
        if program[:1] and program[0] in COMMANDS:
            given: Any = tyro.cli(COMMANDS[program[0]][0], args=program[1:])
            refuse(given)
        return 0

    found = ended(run)
    if (place / "touched").exists():
        return "a shell ran what was typed"
    refused = found.crash.startswith(("ConfigError", "DataError", "OSError"))  # which the program prints as one line
    return None if refused else found.short


def _leaves(tree: Any, prefix: str = "") -> list[str]:
    if not isinstance(tree, dict):
        return [prefix.rstrip(".")]
    return [leaf for key, value in tree.items() for leaf in _leaves(value, f"{prefix}{key}.")]
