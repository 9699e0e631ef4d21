"""A sweep: runs that were submitted together for one table, and what must be remembered of their jobs.

OUT/sweeps/<name>/sweep.json    this; replaced as a whole        code/<hash>/    the code that its jobs run
                  jobs/         submitit's files, Slurm's logs                  states.json       see memory.py
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from clel.config import ConfigError, nearest
from clel.storage.atomic import write_atomically
from clel.storage.provenance import utc_now

SCHEMA = 1
FILE, JOBS = "sweep.json", "jobs"
REMEDY = (
    "no run is lost, but its jobs are known no longer: end them by scancel, and the same make ... CLUSTER=slurm "
    "submits what is missing"
)
SETUP_FAILED = "SETUP failed"
"""How the line begins with which a job ends before its run starts, where a command of the user's set-up failed."""


@dataclass
class Sweep:
    """What sweep.json holds, and the folder that it lies in.

    Attributes:
        folder: OUT/sweeps/<name>.
        created: time (UTC).
        home: folder that it was submitted from; relative paths in its options mean it.
        command: what a user types for the same table on one machine.
        options: those of the table, as plain values.
        runs: names of all runs of the table, in the order of its rows.
        jobs: the jobs of each run that was submitted here, oldest first.
        arrays: a table for each job that sbatch took: job, submitted (UTC), resources, code, runs (their number); where
            sbatch did not tell its number, job is "", and there are name, the job's, and said, what sbatch printed.
        collect: jobs that make the table.
        cancelled: jobs that were cancelled through this suite. Slurm forgets a task that was cancelled while it waited.
    """

    folder: Path
    created: str
    home: str
    command: str
    options: dict[str, Any]
    runs: list[str]
    jobs: dict[str, list[str]] = field(default_factory=dict)
    arrays: list[dict[str, Any]] = field(default_factory=list)
    collect: list[str] = field(default_factory=list)
    cancelled: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        """Its folder's name."""
        return self.folder.name

    @property
    def run_folders(self) -> Path:
        """OUT/runs, beside the sweeps: the results may have been moved as a whole."""
        return self.folder.parent.parent / "runs"

    def submitted(self, job: str) -> str:
        """When a job was submitted (UTC); "" for one that this sweep does not know."""
        base = job.partition("_")[0]
        return next((str(a["submitted"]) for a in self.arrays if a["job"] == base), "")

    def save(self) -> None:
        """Write sweep.json."""
        values = {key: value for key, value in asdict(self).items() if key != "folder"}
        write_atomically(self.folder / FILE, json.dumps({"schema": SCHEMA, **values}, indent=1) + "\n")


@dataclass(frozen=True)
class LatestJob:
    """The latest job of a run, over all sweeps.

    Attributes:
        id: as squeue prints it. sweep: which submitted it. submitted: when (UTC).
        cancelled: whether it was cancelled through this suite.
    """

    id: str
    sweep: str
    submitted: str
    cancelled: bool


def job_log(run_folder: Path, job: LatestJob) -> Path:
    """Slurm's log of a run's job: what was said before and around the run's own process."""
    return run_folder.parent.parent / "sweeps" / job.sweep / JOBS / f"{job.id}_0_log.out"


def new_sweep(out: Path, name: str, home: Path, command: str, options: dict[str, Any], runs: Sequence[str]) -> Sweep:
    """A sweep of its own folder, named by the table and the time; its sweep.json is written."""
    stamp = datetime.now(timezone.utc).strftime("%Y%m%d-%H%M%S")
    for number in range(1, 1000):
        folder = out / "sweeps" / (f"{name}-{stamp}" + (f"-{number}" if number > 1 else ""))
        try:
            folder.mkdir(parents=True)
            break
        except FileExistsError:
            continue
    sweep = Sweep(folder, utc_now(), str(home), command, options, list(runs))
    sweep.save()
    return sweep


def load_sweep(folder: Path) -> Sweep:
    """Read sweep.json.

    Raises:
        ConfigError: there is none that this version reads.
    """
    try:
        values = json.loads((folder / FILE).read_text(encoding="utf-8"))
        schema = values.pop("schema", None)
    except (OSError, ValueError, AttributeError, TypeError, RecursionError) as error:
        raise ConfigError(f"{folder / FILE}: cannot be read as a sweep: {error}; {REMEDY}") from None
    if schema != SCHEMA:
        raise ConfigError(f"{folder / FILE}: schema {schema!r}; this version reads {SCHEMA}; {REMEDY}")
    hints = Sweep.__dataclass_fields__
    missing = hints.keys() - values.keys() - {"folder"}
    if missing or values.keys() - hints.keys():
        raise ConfigError(
            f"{folder / FILE}: expected the keys {', '.join(k for k in hints if k != 'folder')}; {REMEDY}"
        )
    return Sweep(folder=folder, **values)


def all_sweeps(out: Path) -> list[Sweep]:
    """Every sweep below OUT that can be read, oldest first."""
    found = []
    for path in (out / "sweeps").glob(f"*/{FILE}"):
        try:
            found.append(load_sweep(path.parent))
        except ConfigError:
            continue
    return sorted(found, key=lambda sweep: (sweep.created, sweep.name))


def choose_sweep(out: Path, name: str = "") -> Sweep:
    """The sweep of a name, by default the latest.

    Raises:
        ConfigError: there is none.
    """
    if name:
        folder = out / "sweeps" / name
        if not folder.is_dir():
            known = [sweep.name for sweep in all_sweeps(out)]
            raise ConfigError(f"no sweep {name!r} in {out / 'sweeps'}; {nearest(name, known)}")
        return load_sweep(folder)
    found = all_sweeps(out)
    if not found:
        raise ConfigError(
            f"{out / 'sweeps'}: nothing was submitted to Slurm from here, and status, logs, cancel and resume are "
            "about what was. A table that is made on this machine shows its progress itself, Ctrl-C stops it, and the "
            "same make table1 again goes on with it. make table1 CLUSTER=slurm submits; OUT=... names another folder"
        )
    return found[-1]


def latest_jobs(sweeps: Iterable[Sweep]) -> dict[str, LatestJob]:
    """The latest job of each run, over all these sweeps."""
    found: dict[str, LatestJob] = {}
    for sweep in sweeps:
        for run, ids in sweep.jobs.items():
            job = LatestJob(ids[-1], sweep.name, sweep.submitted(ids[-1]), ids[-1] in sweep.cancelled)
            if run not in found or job.submitted >= found[run].submitted:
                found[run] = job
    return found
