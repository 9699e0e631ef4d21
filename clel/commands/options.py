"""What the commands share: options from dataclasses."""

from __future__ import annotations

from typing import Any

import tyro


def parse(kind: Any, default: Any, arguments: list[str], program: str, description: str) -> Any:
    """Options from the command line for the dataclass `kind`; leaves with the nearest names on an unknown option."""
    return tyro.cli(kind, default=default, args=arguments, prog=program, description=description)
