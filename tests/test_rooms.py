"""Rooms: which there are, from the ground up. Each imports only rooms below it, and no private names of another."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
ORDER = {
    "clel": "config random bounds machine storage data networks chains metrics features methods training sampling "
    "evaluation runs commands",
    "baselines": "spectral_penalty spectral_cap clipped_adam plain igebm drl vae vaebm",
    "experiments": "reading runs sweep printing speed plan slurm measured chains tune table1 engines features "
    "conditional compositional ood ablations borrowed page targets variables commands cli",
}
"""In docs/design.md as a picture. A package imports the packages before it, all of their rooms."""


def imports(path: Path) -> Iterator[tuple[str, str]]:
    """(module, name) of every import in a file; "" for a module imported as such."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield from ((node.module, alias.name) for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names)


def room_of(package: str, path: Path) -> str:
    return path.relative_to(ROOT / package).parts[0].removesuffix(".py")


@pytest.mark.parametrize("package", ORDER)
def test_a_room_imports_only_rooms_below_it(package: str) -> None:
    order, seen = ORDER[package].split(), set()
    for path in sorted((ROOT / package).rglob("*.py")):
        room = room_of(package, path)
        if room.startswith("__"):
            continue
        seen.add(room)
        assert room in order, f"{path.relative_to(ROOT)}: a room that has no place in the order"
        for module, name in imports(path):
            parts = [*module.split("."), name]
            if parts[0] != package or parts[1] == room:
                continue
            below = order[: order.index(room)]
            assert parts[1] in below, f"{path.relative_to(ROOT)} imports {module}; below {room} are {', '.join(below)}"
    assert seen == set(order)


@pytest.mark.parametrize("package", ORDER)
def test_private_names_stay_in_their_room(package: str) -> None:
    for path in sorted((ROOT / package).rglob("*.py")):
        for module, name in imports(path):
            parts = [*module.split("."), name]
            if parts[0] in ORDER and (parts[0], parts[1]) != (package, room_of(package, path)):
                private = [part for part in parts[1:] if part.startswith("_") and not part.startswith("__")]
                assert not private, f"{path.relative_to(ROOT)} imports {'.'.join(private)} of {module}"
