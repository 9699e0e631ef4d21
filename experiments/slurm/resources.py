"""What each run asks of a cluster (experiments/resources.csv, and the user's word), and which runs make one array."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from clel.config import ConfigError, choose
from clel.runs.config import Run
from clel.storage.log import counted
from experiments.reading.csv_rows import csv_rows
from experiments.sweep.grid import Cell
from experiments.sweep.launch import cost
from experiments.sweep.slurm_options import SlurmOptions

TABLE = Path(__file__).parent.parent / "resources.csv"
COLUMNS = ("profile", "row", "gpus", "cpus", "memory_gb", "gpu_memory_gb", "minutes", "hours", "source")
ANY, UNTRAINED = "*", "untrained"
"""Keys of a row of the file that stands for all of a profile, or for all that nothing is trained for."""
ONE_GPU = 80.0
"""GB of a large GPU."""


@dataclass(frozen=True)
class Resources:
    """What a job asks for; `minutes` is its limit. Runs that ask for the same can be tasks of one array.

    runs: how many share the job, side by side; cpus and memory_gb are for all of them.
    """

    partition: str | None
    gpus: int
    cpus: int
    memory_gb: float
    minutes: int
    runs: int = 1

    def __str__(self) -> str:
        where = f"partition {self.partition}" if self.partition else "default partition"
        asked = f"{counted(self.gpus, 'GPU')}, {counted(self.cpus, 'CPU')}"
        shared = f", shared by {self.runs} runs" if self.runs > 1 else ""
        return f"{where}, {asked}, {self.memory_gb:g} GB, {self.minutes} min{shared}"


@dataclass(frozen=True)
class Needs:
    """A row of the file: resources without a partition, and the hours that one run is expected to take in all."""

    gpus: int
    cpus: int
    memory_gb: float
    minutes: int
    hours: float
    source: str
    gpu_memory_gb: float = 0.0
    """What training takes on the GPU, as experiments/sweep/estimate.py has it; 0 where that is nothing, or unknown."""

    @property
    def fits(self) -> bool:
        """Whether one GPU, which is all that a run uses, has that much."""
        return self.gpu_memory_gb <= ONE_GPU


@dataclass(frozen=True)
class JobArray:
    """Runs that one job array takes, the longest first."""

    resources: Resources
    cells: tuple[Cell, ...]

    @property
    def shared(self) -> list[tuple[Cell, ...]]:
        """The cells of each of its tasks."""
        k = self.resources.runs
        return [self.cells[start : start + k] for start in range(0, len(self.cells), k)]


def load_needs(path: Path = TABLE) -> dict[tuple[str, str], Needs]:
    """(profile, row) -> what a run of it needs.

    Raises:
        ConfigError: other columns, a row twice, or a cell that is no number.
    """
    found: dict[tuple[str, str], Needs] = {}
    for where, line in csv_rows(path, COLUMNS):
        key = (line["profile"], line["row"])
        if key in found:
            raise ConfigError(f"{where}: {key} a second time")
        try:
            whole = (int(line[name]) for name in ("gpus", "cpus"))
            gpus, cpus = whole
            amounts = (float(line["memory_gb"]), int(line["minutes"]), float(line["hours"]))
            on_gpu = float(line["gpu_memory_gb"])
        except ValueError as error:
            raise ConfigError(f"{where}: {error}") from None
        found[key] = Needs(gpus, cpus, *amounts, line["source"], on_gpu)
    return found


def needs_of(cell: Cell, table: Mapping[tuple[str, str], Needs]) -> Needs:
    """What the table says of a cell: its row, of a variant the one that it varies, or that of all trained, or all
    untrained, runs of its profile."""
    if not isinstance(cell.run, Run):
        return choose({row: n for (profile, row), n in table.items() if profile == cell.profile}, UNTRAINED, "row")
    own = table.get((cell.profile, cell.row.partition("[")[0]))
    return own or choose({row: n for (profile, row), n in table.items() if profile == cell.profile}, ANY, "row")


def resources_of(cell: Cell, options: SlurmOptions, table: Mapping[tuple[str, str], Needs]) -> Resources:
    """What a cell's job asks for: the user's word, else the table's."""
    known = needs_of(cell, table)

    def asked(given: float | None, otherwise: float) -> float:
        return otherwise if given is None else given

    gpus = int(asked(options.gpus, known.gpus))
    runs = (options.runs_per_gpu or 1) if gpus else 1
    return Resources(
        options.partition,
        gpus,
        runs * int(asked(options.cpus, known.cpus)),
        runs * float(asked(options.memory, known.memory_gb)),
        int(asked(options.limit_minutes, known.minutes)),
        runs,
    )


def beyond_one_gpu(cells: Sequence[Cell], options: SlurmOptions, table: Mapping[tuple[str, str], Needs]) -> list[Cell]:
    """The cells whose training takes more memory than one GPU has; on a CPU it is MEMORY that counts."""
    asked = [(c, resources_of(c, options, table)) for c in cells]
    return [c for c, r in asked if r.gpus and r.runs * needs_of(c, table).gpu_memory_gb > ONE_GPU]


def too_large(beyond: Sequence[Cell], cells: Sequence[Cell]) -> str:
    """A sentence on the cells of a table that do not fit one GPU, and how to leave them out."""
    rows = list(dict.fromkeys(cell.row for cell in beyond))
    methods = dict.fromkeys(c.run.method for c in cells if isinstance(c.run, Run) and c.row not in rows)
    rest = f"METHODS={','.join(methods)} leaves them out; " if methods else ""
    return (
        f"{len(beyond)} of {len(cells)} runs ({', '.join(rows)}) do not fit one GPU of {ONE_GPU:g} GB, and a run uses "
        f"one: they would end as oom. {rest}`clel train` with a smaller --config.batch-size makes one fit"
    )


def arrays(
    cells: Sequence[Cell], options: SlurmOptions, table: Mapping[tuple[str, str], Needs], size: int
) -> list[JobArray]:
    """The cells by what they ask for, in arrays of at most `size` tasks, longest runs first: these start in order."""
    groups: dict[Resources, list[Cell]] = {}
    for cell in sorted(cells, key=cost, reverse=True):
        groups.setdefault(resources_of(cell, options, table), []).append(cell)
    return [
        JobArray(resources, tuple(members[start : start + size * resources.runs]))
        for resources, members in groups.items()
        for start in range(0, len(members), size * resources.runs)
    ]
