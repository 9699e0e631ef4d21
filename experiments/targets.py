"""The targets of `make` that are programs: what each runs, and which variables it takes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

SUBMIT = {
    **{name: f"--slurm.{name.lower().replace('_', '-')}" for name in ("PARTITION", "GPUS", "CPUS", "MEMORY")},
    **{name: f"--slurm.{name.lower().replace('_', '-')}" for name in ("LIMIT_MINUTES", "SETUP", "NOTICE", "PARALLEL")},
    **{"REQUEUES": "--slurm.requeues", "FORCE": "--slurm.force", "SLURM": "--slurm.sbatch"},
}
"""Resources of a job, and sbatch's parameters; what is not given is in experiments/resources.csv."""


def own(*names: str) -> dict[str, str]:
    """Variables whose option has their name: SAMPLING_SEEDS, --sampling-seeds."""
    return {name: f"--{name.lower().replace('_', '-')}" for name in names}


NAMED = own(
    *("PROFILE", "METHODS", "DATASET", "SEEDS", "OUT", "FEATURES", "PROTOCOLS", "SAMPLING_SEEDS", "ENGINE", "MINUTES"),
    *("SET", "RATES", "EXTERNAL"),
)
"""What names a Table 1."""
PLACE = own("DEVICE", "WORKERS", "RUNS_PER_GPU", "CLUSTER") | SUBMIT
"""Where and how runs are carried out."""
RUNS = PLACE | own("PLAN", "REPORT", "PAPER")
MEASURED = own("PROFILE", "SEEDS", "DATASET", "OUT") | RUNS
"""What every artefact of trained runs takes (experiments/measured)."""
KEPT = own("PROJECT", "ARCHIVE")
"""Of those that make a table: whether runs that are kept in short stand for missing ones, and to keep them so."""
OF_SWEEPS = own("OUT", "SWEEP")
BENCH = own("ROUNDS", "SELECT", "DEVICE", "BASELINE")


@dataclass(frozen=True)
class MakeTarget:
    """What a target runs. takes: option by variable. needs: variables that it cannot do without."""

    help: str
    command: tuple[str, ...]
    takes: Mapping[str, str]
    needs: tuple[str, ...] = ()


def experiment(text: str, name: str, takes: Mapping[str, str], *more: str) -> MakeTarget:
    """A command of python -m experiments."""
    return MakeTarget(text, ("experiments", name, *more), takes)


TARGETS = {
    "table1": experiment(
        "Train every method and write results/PROFILE/table1.md and figures",
        "table1",
        NAMED | RUNS | own("PROJECT", "COLUMNS"),
    ),
    "report": experiment(
        "Make Table 1 and its figures again from the finished runs, and pages of all results: OUT/index.html",
        "report",
        NAMED | PLACE | own("PROJECT", "COLUMNS", "PAPER"),
    ),
    "columns": MakeTarget(
        "Some columns of any table, beside it, as Markdown, LaTeX and CSV",
        ("experiments", "columns"),
        own("TABLE", "COLUMNS"),
        ("TABLE",),
    ),
    "archive": experiment(
        "Keep in OUT/records what tables show of finished runs (docs/reference/records.md)",
        "table1",
        NAMED | PLACE | own("PROJECT"),
        "--archive",
    ),
    "engines": experiment(
        "Compare the table of make table1 with that of ENGINE=exact, or another", "engines", NAMED | own("PAPER")
    ),
    "tune": experiment(
        "Train and score the declared trials of every method's settings, on seeds that no table reports",
        "tune",
        own("PROFILE", "METHODS", "DATASET", "OUT", "AFRESH", "KEEP") | RUNS,
    ),
    "conditional": experiment(
        "Classes drawn by CLEL, which has no labels, and judged",
        "conditional",
        MEASURED
        | KEPT
        | own("WEIGHT", "STEPS", "CENTRED", "SPREAD", "RESTARTS", "START", "ROUNDS", "DISTURBED", "EACH", "COLUMNS"),
    ),
    "conditional-sweep": experiment(
        "Choose the settings of make conditional on other seeds", "conditional-sweep", MEASURED | own("EACH", "KEEP")
    ),
    "compositional": experiment(
        "Attributes composed in samples of a CLEL trained without labels",
        "compositional",
        MEASURED | KEPT | own("ASKED", "WEIGHT", "STEPS", "RESTARTS", "START", "CENTRED", "SAMPLES", "COLUMNS"),
    ),
    "compositional-sweep": experiment(
        "Choose the settings of make compositional on other seeds",
        "compositional",
        MEASURED | own("ASKED", "SAMPLES", "KEEP"),
        "--sweep",
    ),
    "ood": experiment(
        "Images out of distribution told by the energies of every method's runs",
        "ood",
        MEASURED | KEPT | own("METHODS", "SETS", "PREPARATION", "BETA", "COLUMNS"),
    ),
    "ablations": experiment(
        "CLEL with a part taken away or exchanged; the ladder of Table 1b",
        "ablations",
        MEASURED | KEPT | own("STUDIES", "OOD", "COLUMNS"),
    ),
    "all": experiment("Every artefact of a profile, one after the other; resumable", "all", MEASURED | own("PROJECT")),
    "chains": experiment(
        "Study fresh chains and the replay buffer (docs/log/chains.md)",
        "chains",
        own("PROFILE", "OUT", "DATASET", "SEEDS", "WORKERS", "DEVICE", "REPORT", "PAPER"),
    ),
    "features": experiment(
        "Ladders of corruptions: at which side images are resized for Lite0's features",
        "features",
        own("OUT", "DATASET", "IMAGES", "SIDES", "SEEDS", "DEVICE"),
    ),
    "speed-memory": experiment(
        "Measure time, memory and operations of every method",
        "speed-memory",
        own("PROFILE", "OUT", "METHODS", "DEVICE", "BATCH", "ENGINE", "ROUNDS", "THREADS")
        | own("SCALING", "SIDE_BY_SIDE", "REPORT", "PAPER"),
    ),
    "bench": experiment("Run every benchmark; ROUNDS=1 only sees that they run", "bench", BENCH),
    "bench-save": experiment("Keep the benchmarks' times", "bench", BENCH | own("FORCE"), "--save"),
    "bench-compare": experiment(
        "Run the benchmarks again: ratios to the times that were kept", "bench", BENCH | own("LIMIT"), "--compare"
    ),
    "gpu-natural": experiment(
        "On a borrowed card: CLEL, the plain EBM and IGEBM side by side, packed; later REPORT=1",
        "gpu-natural",
        own("PROFILE", "OUT", "MINUTES", "BUDGET", "DATASET", "SAMPLES", "DEVICE", "FEATURES", "REPORT"),
    ),
    "status": experiment(
        "Where runs stand: of the latest sweep on Slurm, or of every table on this machine",
        "status",
        OF_SWEEPS | own("LOCAL", "EVERY"),
    ),
    "logs": MakeTarget(
        "On Slurm: the end of a run's output over all its attempts",
        ("experiments", "logs"),
        OF_SWEEPS | own("RUN"),
        ("RUN",),
    ),
    "cancel": experiment(
        "On Slurm: cancel the jobs of the latest sweep, or of RUN; runs save their state and leave",
        "cancel",
        OF_SWEEPS | own("RUN"),
    ),
    "resume": experiment(
        "On Slurm: submit just what the latest sweep lacks",
        "resume",
        OF_SWEEPS | SUBMIT | {"RUNS_PER_GPU": "--slurm.runs-per-gpu"},
    ),
    "readme": experiment("Put the project's own Table 1 into README.md", "readme", {}),
    "data": MakeTarget("Download and check a data set", ("clel.data",), {"DATASET": ""}, ("DATASET",)),
    "fuzz": MakeTarget(
        "Bad input and kills by the hundred: counted, and what fell short",
        ("tests.fuzz",),
        own("INPUTS", "KILLS", "SEED"),
    ),
    "weights": MakeTarget("Download and check weights of feature spaces", ("clel.features",), own("FEATURES")),
}
"""By name."""
