"""What a cluster's partitions can take, so that a job that could never run is refused before it is submitted."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from clel.storage.log import counted
from experiments.slurm.clients import SchedulerError, ask


def max_array_size() -> int:
    """Most tasks that one array may have here, numbered from 0."""
    answer = ask("scontrol", "show", "config")
    match = re.search(r"^MaxArraySize\s*=\s*(\d+)", answer.text, re.MULTILINE)
    if match is None:
        raise SchedulerError(f"scontrol show config does not say MaxArraySize: {answer.error or 'no such line'}")
    if match.group(1) == "0":
        raise SchedulerError("this cluster has job arrays switched off (MaxArraySize = 0)")
    return int(match.group(1))


def check_partition(partition: str | None, *, gpus: int, cpus: int, memory_gb: float, minutes: int) -> None:
    """Raise SchedulerError where no node of the partition, by default the cluster's own, could ever run such a job.

    Slurm itself refuses only some of these; others (more CPUs than any node has) it lets wait for ever. Several
    partitions are separated by commas; it is enough that one can.
    """
    shapes = _node_shapes()
    existing = ", ".join(dict.fromkeys(shape.partition for shape in shapes))
    names = [name.strip() for name in (partition or "").split(",") if name.strip()]
    if not names:
        names = list(dict.fromkeys(shape.partition for shape in shapes if shape.default))
        if not names:
            raise SchedulerError(f"this cluster has no default partition; give PARTITION, one of {existing}")
    for name in names:
        if all(shape.partition != name for shape in shapes):
            raise SchedulerError(f"no partition {name} here; there are {existing}")
    asked = _Shape("", False, True, minutes, cpus, memory_gb * 1024, gpus, 1)
    refusals = []
    for name in names:
        own = [shape for shape in shapes if shape.partition == name]
        refusal = _refusal(asked, own)
        if refusal is None:
            return
        nodes = "; ".join(dict.fromkeys(shape.described() for shape in own))
        refusals.append(f"partition {name} {refusal}. It has {nodes}")
    raise SchedulerError("\n".join(refusals))


@dataclass(frozen=True)
class _Shape:
    """Nodes of a partition that are alike, or what a job asks of one."""

    partition: str
    default: bool
    up: bool
    minutes: float
    cpus: int
    memory: float
    gpus: int
    nodes: int

    def described(self) -> str:
        gpus = counted(self.gpus, "GPU") if self.gpus else "no GPU"
        limit = "no time limit" if self.minutes == float("inf") else f"a limit of {self.minutes:.0f} minutes"
        nodes, cpus = counted(self.nodes, "node"), counted(self.cpus, "CPU")
        return f"{nodes} of {cpus}, {self.memory / 1024:.0f} GB, {gpus}; {limit}"


def _refusal(asked: _Shape, shapes: Sequence[_Shape]) -> str | None:
    """Why no node of one partition can take the job; None where one can."""
    if not any(shape.up for shape in shapes):
        return "takes no jobs now"
    wanted = {
        f"gives at most {max(shape.minutes for shape in shapes):.0f} minutes, {asked.minutes:.0f} are asked": [
            asked.minutes <= shape.minutes for shape in shapes
        ],
        f"has no node with {counted(asked.gpus, 'GPU')}": [asked.gpus <= shape.gpus for shape in shapes],
        f"has no node with {counted(asked.cpus, 'CPU')}": [asked.cpus <= shape.cpus for shape in shapes],
        f"has no node with {asked.memory / 1024:g} GB of memory": [asked.memory <= shape.memory for shape in shapes],
    }
    for refusal, fits in wanted.items():
        if not any(fits):
            return refusal
    if not any(all(together) for together in zip(*wanted.values(), strict=True)):
        gpus, cpus = counted(asked.gpus, "GPU"), counted(asked.cpus, "CPU")
        return f"has no node with {gpus}, {cpus} and {asked.memory / 1024:g} GB at once"
    return None


def _node_shapes() -> list[_Shape]:
    answer = ask("sinfo", "--noheader", "--exact", "--format=%P|%a|%l|%c|%m|%G|%D")
    shapes = []
    for line in answer.text.splitlines():
        if line.count("|") != 6:
            continue
        name, up, limit, cpus, memory, gres, nodes = line.split("|")
        gpus = sum(int(number) for number in re.findall(r"\bgpu(?::[^:,()]*)*?:(\d+)(?=[(,]|$)", gres))
        shapes.append(
            _Shape(
                name.rstrip("*"),
                name.endswith("*"),
                up == "up",
                _minutes(limit),
                _whole(cpus),
                _whole(memory),
                gpus,
                _whole(nodes),
            )
        )
    if not shapes:
        raise SchedulerError(f"sinfo lists no partitions: {answer.error or 'it printed nothing'}")
    return shapes


def _whole(number: str) -> int:
    """A number as sinfo writes it: 64, or 64+ where nodes differ."""
    return int(re.sub(r"\D", "", number) or 0)


def _minutes(limit: str) -> float:
    """A time limit as sinfo writes it, [days-][[hours:]minutes:]seconds, in minutes."""
    match = re.fullmatch(r"(?:(\d+)-)?(?:(\d+):)?(\d+):(\d+)", limit)
    if match is None:
        return float("inf")
    days, hours, minutes, seconds = (int(number or 0) for number in match.groups())
    return (days * 24 + hours) * 60 + minutes + seconds / 60
