"""What the commands share: options from dataclasses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tyro

from clel.config import require

NEVER_EMPTY = ("--out", "--dataset", "--device", "--external")
"""Options whose empty value would be read as the working directory, or as nothing: a variable that was not set."""


def refuse_empty(arguments: Sequence[str]) -> None:
    """Raise ConfigError for an empty argument that stands by itself, or is the value of one of NEVER_EMPTY."""
    before = ""
    for argument in arguments:
        name, sign, value = argument.partition("=")
        given = name if sign and not value else before if not argument else ""
        require(given not in NEVER_EMPTY, f"{given} is empty; leave it out for the default, or give a value")
        require(bool(argument) or before.startswith("--"), "an argument is empty; give a path or a name there")
        before = "" if "=" in argument else argument


def parse(kind: Any, default: Any, arguments: list[str], program: str, description: str) -> Any:
    """Options from the command line for the dataclass `kind`; leaves with the nearest names on an unknown option."""
    refuse_empty(arguments)
    return tyro.cli(kind, default=default, args=arguments, prog=program, description=description)
