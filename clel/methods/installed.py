"""The methods that there are: CLEL, and those of packages beside this one."""

from __future__ import annotations

from importlib.metadata import entry_points

from clel.methods.clel import CLEL
from clel.methods.method import Method


def installed_methods() -> dict[str, type[Method]]:
    """CLEL, and the methods of every installed package with an entry point of the group "clel.methods"."""
    methods: dict[str, type[Method]] = {"clel": CLEL}
    for entry in entry_points(group="clel.methods"):
        methods.update(entry.load())
    return methods
