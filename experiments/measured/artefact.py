"""The shape of an artefact that is measured on trained runs: its runs, what is measured on each, its table.

A new one is a folder with a class derived from Artefact and an entry in experiments/commands/artefacts.py.
"""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

from clel.config import choose, from_dict, require, to_dict
from clel.runs.config import Run, choose_device
from clel.storage.log import progress
from experiments.measured.kept import keep, kept
from experiments.plan.plan import describe_plan
from experiments.printing.chosen import write_columns
from experiments.printing.files import write_files
from experiments.printing.markup import Grid, latex_comment, titled, to_latex, to_markdown
from experiments.reading.paths import absolute, folder_part
from experiments.slurm import plan
from experiments.slurm.launch import Launch, launch
from experiments.sweep.archive import RECORDS, archive_in_words, archived, not_kept
from experiments.sweep.grid import PROFILES, Cell
from experiments.sweep.launch import has_result, prepare
from experiments.sweep.launching import CLUSTERS, Launching, run_on_this_machine
from experiments.sweep.meaning import Meaning
from experiments.sweep.naming import OUT, PROJECT
from experiments.sweep.store import Stored, load_cells

LEFT_OUT = ("out", "plan", "report", "archive", "columns", "paper", "workers", "runs_per_gpu", "cluster", "keep")
"""Options that do not say what is measured."""
NAMED = ("profile", "dataset", "seeds")
"""Options by which the folder is named as Table 1's is."""


@dataclass(frozen=True)
class Measuring(Launching):
    """What every artefact of trained runs is asked for by."""

    profile: str = "quick"
    """smoke (a minute, to see that all works), quick (digits), evening, small or paper (CIFAR-10)."""
    seeds: int = 1
    """Seeds 0, 1, ... of each row."""
    dataset: str | None = None
    """Data set: a name or a path. The profile's own if not given."""
    out: Path = OUT
    """Folder for runs/<run> and <profile>/<artefact>.md, .tex, .csv and figures/."""
    project: bool = False
    """Take what is missing from the project's own runs (results/project/records) where it was measured on them."""
    archive: bool = False
    """Only keep, in OUT/records, what tables show of the finished runs and what was measured on them."""


@dataclass(frozen=True)
class Found:
    """What is known of one run under one protocol. values: None where it was not measured, as `run` may explain."""

    cell: Cell
    run: Stored
    protocol: Any
    values: Mapping[str, Any] | None


Options = TypeVar("Options", bound=Measuring)


class Artefact(ABC, Generic[Options]):
    """An artefact: trains what is missing of its runs, measures what is missing on them, and writes its table.

    Attributes:
        name: its command, its files and the kind in table.json.
        options: the dataclass of its options.
    """

    name: ClassVar[str]
    options: ClassVar[type[Any]]

    @abstractmethod
    def cells_of(self, options: Options) -> list[Cell]:
        """The trained runs that it needs, in the order of its rows; raises ConfigError for bad input."""

    @abstractmethod
    def protocols(self, options: Options, cell: Cell) -> Sequence[Any]:
        """How the cell's run is to be measured: frozen dataclasses, one for each measurement."""

    @abstractmethod
    def measure(self, cell: Cell, folder: Path, protocol: Any) -> dict[str, Any]:
        """The numbers of one run: values that JSON has."""

    @abstractmethod
    def contents(self, options: Options, found: Sequence[Found], above: Sequence[str]) -> dict[str, str | bytes]:
        """The files by their names in the folder; `above`: lines "Name: text" that every artefact has."""

    @abstractmethod
    def words(self, options: Options, found: Sequence[Found]) -> list[str]:
        """The outcome for a terminal."""

    def completed(self, options: Options) -> Options:
        """The options with what follows from them; raises ConfigError for what can be seen to be wrong."""
        return options

    def main(self, given: Options) -> int:
        """Exit status: 0 all measured or submitted, 1 if a run has no result."""
        choose(dict.fromkeys(CLUSTERS), given.cluster, "cluster")
        choose(PROFILES, given.profile, "profile")
        require(given.seeds >= 1, f"seeds is {given.seeds}; expected at least 1")
        options = self.completed(given)
        every, runs = self.cells_of(options), options.out / "runs"
        if options.archive:
            print(archive_in_words(every, runs, options.out))
            return 0
        self.meaning(options).refuse_another(self.folder(options))
        cells = not_kept(every, self.kept_runs(options))
        if options.project:
            print(f"{len(every) - len(cells)} of {len(every)} runs are the project's: {RECORDS}", file=sys.stderr)
        if options.cluster == "slurm" and not options.report:
            if options.plan:
                print(plan.describe_arrays(cells, runs, options.slurm))
                return 0
            if launch(self.launched(options, cells)) is not None:
                return 0  # the job that collects measures, and makes the table
        elif options.plan:
            print(describe_plan(cells, runs, options.workers, options.device, options.runs_per_gpu))
            return 0
        elif not options.report:
            prepare(cells, runs, options.device, self.folder(options))
            run_on_this_machine(cells, runs, options)
        for path in self.write(options, self.command(options)):
            print(path)
        page = self.folder(options) / f"{self.name}.md"
        for path in write_columns(page, options.columns) if options.columns else ():
            print(path)
        print(self.summary(options))
        missing = [cell.run_name for cell in cells if not has_result(cell, runs)]
        if missing:
            print(f"{len(missing)} of {len(every)} runs have no result: {', '.join(missing)}", file=sys.stderr)
        return 1 if missing else 0

    def kept_runs(self, options: Options) -> dict[str, Path]:
        """By name the project's own runs that stand for missing ones, if they are to: those measured as is asked,
        and those that ended without a result."""
        cells = self.cells_of(options)
        found = archived(cells, options.out / "runs") if options.project else {}
        held = load_cells(options.out / "runs", cells, found)

        def stands(cell: Cell) -> bool:
            run = held[cell.run_name]
            return not run.ok or all(self._kept(run, protocol) for protocol in self.protocols(options, cell))

        return {cell.run_name: found[cell.run_name] for cell in cells if cell.run_name in found and stands(cell)}

    def _kept(self, run: Stored, protocol: Any) -> dict[str, Any] | None:
        return kept(run.folder, self.name, protocol, str(run.part("provenance").get("finished")))

    def found(self, options: Options, measure: bool = True) -> list[Found]:
        """Every run under every protocol; what is missing is measured, and kept in the run's folder, if `measure`."""
        cells, runs = self.cells_of(options), options.out / "runs"
        held = load_cells(runs, cells, self.kept_runs(options))
        wanted = [(cell, protocol) for cell in cells for protocol in self.protocols(options, cell)]
        result = []
        with progress(self.name, len(wanted), unit="measurement", delay=0.1) as shown:  # silent if all are kept
            for cell, protocol in wanted:
                run = held[cell.run_name]
                values = self._kept(run, protocol) if run.ok else None
                if run.ok and values is None and measure:
                    values = self.measure(cell, run.folder, protocol)
                    ended = str(run.part("provenance").get("finished"))
                    keep(run.folder, self.name, protocol, ended, values, choose_device(options.device))
                shown.update()
                result.append(Found(cell, run, protocol, values))
        return result

    def write(self, options: Options, again: str) -> list[Path]:
        """Measure what is missing, write the files; return their paths. again: the command to print."""
        found, folder = self.found(options), self.folder(options)
        self.meaning(options).claim(folder)
        contents = self.contents(options, found, origin(found, again))
        return write_files(folder, contents)

    def summary(self, options: Options) -> str:
        """The outcome for a terminal."""
        return "\n".join(["", *self.words(options, self.found(options, measure=False))])

    def folder(self, options: Options) -> Path:
        """Where the files go: beside those of Table 1 of the same profile, data set and seeds."""
        parts = [options.profile, *([folder_part(options.dataset)] if options.dataset else [])]
        parts += [f"{options.seeds}-seeds"] * (options.seeds != 1)
        return options.out / "-".join(parts)

    def meaning(self, options: Options) -> Meaning:
        """What the table is of."""
        given = {name: value for name, value in self.stored(options).items() if name not in ("slurm", "device")}
        given |= {"dataset": absolute(options.dataset), "project": borrows(options) or None}
        return Meaning(self.name, given, f"{self.name}.md", f"`{self.command(options)}`")

    def launched(self, options: Options, cells: list[Cell]) -> Launch:
        """The runs as Slurm's launcher takes them."""
        name = f"{self.folder(options).name}-{self.name}"
        return Launch(name, cells, options.out, options.slurm, self.command(options), self.stored(options))

    def stored(self, options: Options) -> dict[str, Any]:
        """Plain values that `restored` makes the options from again; where results go is not among them."""
        values = {f.name: getattr(options, f.name) for f in fields(options) if f.name not in LEFT_OUT}
        return values | {"artefact": self.name, "slurm": to_dict(options.slurm)}

    def restored(self, values: Mapping[str, Any], out: Path) -> Options:
        """The inverse; raises ConfigError for options that this version does not know."""
        own = {key: value for key, value in values.items() if key != "artefact"}
        return replace(from_dict(self.options, own), out=out)  # type: ignore[no-any-return]

    def command(self, options: Options) -> str:
        """The command that makes this again."""
        given = [f"make {self.name}"]
        for f in fields(options):
            value = getattr(options, f.name)
            if f.name == "project":
                value = borrows(options)
            if f.name not in (*LEFT_OUT, "slurm", "device") and value != f.default:
                given.append(f"{f.name.upper()}={as_make_takes(value)}")
        return " ".join(given)


def borrows(options: Measuring) -> bool:
    """Whether the project's runs are to stand in a table that is not the project's."""
    return options.project and options.out.resolve() != PROJECT.resolve()


def as_make_takes(value: Any) -> str:
    """An option's value as make takes it."""
    if isinstance(value, bool):
        return "1" if value else "0"
    text = f"{value:g}" if isinstance(value, float) else str(value)
    return repr(text) if " " in text else text


def with_training(cells: Iterable[Cell]) -> list[Cell]:
    """Those with training: not held-out images, noise, or samples by others."""
    return [cell for cell in cells if isinstance(cell.run, Run)]


def found_by_row(found: Iterable[Found]) -> dict[str, list[Found]]:
    """The measurements of each row, in their order."""
    rows: dict[str, list[Found]] = {}
    for one in found:
        rows.setdefault(one.cell.row, []).append(one)
    return rows


def values_of(found: Iterable[Found]) -> list[Mapping[str, Any]]:
    """What was measured, of the runs that were."""
    return [one.values for one in found if one.values is not None]


def origin(found: Sequence[Found], command: str) -> list[str]:
    """The lines above every table: seeds, command, commit and machine."""
    parts = [one.run.part("provenance") for one in found if one.run.record]
    commits = dict.fromkeys(
        f"{str(p['git_sha'])[:12]}{' with uncommitted changes' if p.get('git_dirty') else ''}"
        for p in parts
        if p.get("git_sha")
    )
    machines = dict.fromkeys(str(p["device"]) for p in parts if p.get("device"))
    seeds = sorted({one.cell.seed for one in found if isinstance(one.cell.run, Run)})
    borrowed = {one.run.name for one in found if one.run.project}
    return [
        *[f"The project's own: {', '.join(sorted(borrowed))}."] * bool(borrowed),
        f"Seeds: {', '.join(map(str, seeds)) or 'none'}.",
        f"Command: {command}",
        f"Commit: {'; '.join(commits) or 'not recorded'}. Machine: {'; '.join(machines) or 'not recorded'}.",
    ]


def page(lines: Sequence[str], grid: Grid) -> str:
    """A table in Markdown under its lines "Name: text"."""
    return "\n\n".join([*map(titled, lines), to_markdown(grid)])


def sections(lines: Sequence[str], grids: Mapping[str, Grid]) -> tuple[str, str]:
    """Several tables, each under its heading in Markdown, below the lines; and in LaTeX, one after the other."""
    parts = [part for heading, grid in grids.items() for part in (f"## {heading}", to_markdown(grid))]
    text = "\n\n".join([*map(titled, lines), *parts])
    return text, latex_comment(lines) + "\n\\medskip\n\n".join(map(to_latex, grids.values()))


def tex(lines: Sequence[str], grid: Grid) -> str:
    """The same in LaTeX, the lines as comments."""
    return latex_comment(lines) + to_latex(grid)
