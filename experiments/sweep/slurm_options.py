"""What a user says of Slurm on the command line: resources, sbatch's own parameters, set-up lines."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

from clel.config import ConfigError, require

OURS = {
    **{"partition": "PARTITION", "p": "PARTITION", "time": "LIMIT_MINUTES", "t": "LIMIT_MINUTES", "mem": "MEMORY"},
    **{"gpus_per_node": "GPUS", "gpus": "GPUS", "cpus_per_task": "CPUS", "c": "CPUS"},
}
"""sbatch's parameters that have a variable of their own."""
TAKEN = (
    *("array", "dependency", "signal", "output", "error", "open_mode", "requeue", "no_requeue", "nodes", "ntasks"),
    *("job_name", "parsable", "quiet", "test_only", "wait", "wrap"),
)
"""Those that the launcher itself sets, since a run's life hangs on them, or that change what sbatch answers."""
PARALLEL, REQUEUES, NOTICE = 100, 20, 180
"""Defaults of `parallel`, `requeues` and `notice`."""


@dataclass(frozen=True)
class SlurmOptions:
    """Resources of each run and how it is submitted; what is not given is what experiments/resources.csv says."""

    partition: str | None = None
    """Partition, or several with commas; the cluster's default one if not given."""
    gpus: int | None = None
    """GPUs of a run."""
    runs_per_gpu: int | None = None
    """Runs that one job does side by side, sharing its GPU; one if not given. Each has cores and memory of its own."""
    cpus: int | None = None
    """CPU cores of a run, and its threads."""
    memory: float | None = None
    """Memory of a run in GB."""
    limit_minutes: int | None = None
    """Time limit of a job in minutes. A run that needs longer is requeued and goes on."""
    sbatch: str = ""
    """More parameters of sbatch: account=x,qos=y,constraint=z."""
    setup: str = ""
    """Shell commands before each run, such as: module load cuda; conda activate clel."""
    parallel: int | None = None
    """Tasks of an array that run at the same time, at most; 100 if not given."""
    requeues: int | None = None
    """Times that a job may be requeued at its limit or on preemption, 20 if not given; then its status is timeout."""
    notice: int | None = None
    """Seconds before the limit that a run is asked to save and leave: 180 if not given, at most a quarter of it."""
    force: bool = False
    """Submit also those runs of whose last job Slurm knows nothing, though it may still be there."""

    def __post_init__(self) -> None:
        for name, least in {
            "gpus": 0,
            "runs_per_gpu": 1,
            "cpus": 1,
            "limit_minutes": 1,
            "parallel": 1,
            "requeues": 0,
            "notice": 1,
        }.items():
            value = getattr(self, name)
            require(value is None or value >= least, f"{name.upper()} is {value}; expected at least {least}")
        require(self.memory is None or self.memory > 0, f"MEMORY is {self.memory}; expected GB, more than 0")
        self.parameters()

    def parameters(self) -> dict[str, str | bool]:
        """The further parameters of sbatch; a name alone is a switch.

        Raises:
            ConfigError: one that has a variable of its own, or that the launcher sets.
        """
        found: dict[str, str | bool] = {}
        for part in self.sbatch.split(","):
            name, equals, value = part.strip().partition("=")
            key = name.strip().lstrip("-").replace("-", "_")
            if not key:
                require(not part.strip(), f"SLURM has {part!r}; expected name=value,name=value")
                continue
            if key in OURS:
                raise ConfigError(f"SLURM has {part.strip()!r}; give {OURS[key]}=... for that")
            require(key not in TAKEN, f"SLURM has {part.strip()!r}, which is the launcher's own to set; leave it out")
            found[key] = value.strip() if equals else True
        return found

    def notice_seconds(self, minutes: int) -> int:
        """Seconds before a limit of so many minutes that the signal comes."""
        return min(self.notice or NOTICE, minutes * 60 // 4)

    @property
    def most_requeues(self) -> int:
        """`requeues`, or its default."""
        return REQUEUES if self.requeues is None else self.requeues

    def changed_by(self, given: SlurmOptions) -> SlurmOptions:
        """These options with whatever was given in others; `force` is never remembered."""
        changes = {f.name: getattr(given, f.name) for f in fields(self) if getattr(given, f.name) not in (None, "")}
        return replace(self, **{**changes, "force": given.force})
