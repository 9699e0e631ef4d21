"""Artefacts whose runs may be submitted as a sweep, by the name in their options: what later processes need of them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol, cast

from clel.config import choose
from experiments.ablations.command import Ablations
from experiments.compositional import command as compositional
from experiments.conditional.command import CONDITIONAL
from experiments.conditional.sweep import SWEEP
from experiments.measured.artefact import Artefact as Measured
from experiments.ood.command import Ood
from experiments.slurm.launch import Launch
from experiments.sweep.grid import Cell
from experiments.table1 import command as table1
from experiments.tune import command as tune


class ArtefactModule(Protocol):
    """A module with these functions; `options` is an instance of its dataclass of options.

    cells_of: the runs. stored, restored: its options as plain values, and back. launched: what is to be submitted.
    write: makes its files from what the runs have come to. summary: the outcome for a terminal.
    """

    def cells_of(self, options: Any) -> list[Cell]: ...
    def stored(self, options: Any) -> dict[str, Any]: ...
    def restored(self, values: Mapping[str, Any], out: Path) -> Any: ...
    def launched(self, options: Any, cells: list[Cell]) -> Launch: ...
    def write(self, options: Any, command: str) -> list[Path]: ...
    def summary(self, options: Any) -> str: ...


MEASURED: tuple[Measured[Any], ...] = (CONDITIONAL, SWEEP, compositional.ARTEFACT, Ood(), Ablations())
"""Those that are measured on trained runs; each is a command and a target of make of its name."""
ARTEFACTS = {"table1": cast(ArtefactModule, table1), "tune": cast(ArtefactModule, tune)} | {
    a.name: cast(ArtefactModule, a) for a in MEASURED
}


def artefact_of(values: Mapping[str, Any]) -> ArtefactModule:
    """The artefact that stored options belong to: Table 1 where they do not say."""
    return choose(ARTEFACTS, str(values.get("artefact", "table1")), "artefact")
