"""python -m experiments all: every artefact of a profile, one after the other; what is finished is not done again."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from clel.config import ConfigError, choose, require
from clel.machine.signals import child_environment
from experiments.measured.artefact import Measuring
from experiments.page.site import write_pages
from experiments.sweep.grid import PROFILES
from experiments.sweep.launching import CLUSTERS
from experiments.targets import TARGETS
from experiments.variables import arguments


@dataclass(frozen=True)
class All(Measuring):
    """Make Table 1, classes, compositions, detection, ablations, chains, and speed and memory of a profile.

    Their runs are shared. On Slurm each is submitted, and a run that another one has submitted is waited for; what is
    measured on this machine, chains and speed, is left out there. One that fails does not keep the others.
    """


ARTEFACTS = ("table1", "conditional", "compositional", "ood", "ablations", "chains", "speed-memory")
"""In this order; time is measured last, when nothing else runs."""
HERE = ("chains", "speed-memory")
"""Those that this machine carries out itself."""
PROFILES_OF = {"chains": ("smoke", "quick", "evening"), "compositional": ("smoke", "quick", "paper")}
"""Profiles that an artefact has, where these are not all."""
OWN_DATA = ("compositional",)
"""Those that have a data set of their own."""


def called(order: list[str]) -> int:
    """Run the program, which leaves where this one does; its exit status."""
    process = subprocess.Popen(order, env=child_environment())
    try:
        return process.wait()
    except KeyboardInterrupt:
        process.terminate()
        process.wait()  # it stops the runs that it has started, and these save their state
        raise


def main(options: All, run: Callable[[list[str]], int] = called) -> int:
    """Exit status: 0 all made or submitted, 1 if one was not."""
    choose(PROFILES, options.profile, "profile")
    choose(dict.fromkeys(CLUSTERS), options.cluster, "cluster")
    require(options.seeds >= 1, f"seeds is {options.seeds}; expected at least 1")
    found: dict[str, str] = {}
    for name in ARTEFACTS:
        if options.profile not in PROFILES_OF.get(name, (options.profile,)):
            found[name] = f"not of the profile {options.profile}"
        elif options.cluster == "slurm" and name in HERE:
            found[name] = f"left out: on a machine that does nothing else, make {name}"
        elif options.plan and name in HERE:
            found[name] = "no plan: it is measured as it is made"
        else:
            print(f"\n== {name}", file=sys.stderr, flush=True)
            status = run([sys.executable, *arguments(name, given(options, name))])
            if status in (130, 143):  # Ctrl-C, SIGTERM: meant for all of them
                return status
            found[name] = "done" if status == 0 else f"exit status {status}, see above"
    print("\n".join(["", *(f"{name:<14}{what}" for name, what in found.items())]))
    if not options.plan and options.cluster != "slurm":
        with suppress(ConfigError):  # of what was made; nothing was, and it is said why
            print(f"pages: open {write_pages(options.out)[0]}")
    return 1 if any(what.startswith("exit") for what in found.values()) else 0


def given(options: All, name: str) -> dict[str, str]:
    """The variables of make for one artefact: those of the options that it takes."""
    values = {"PROFILE": options.profile, "SEEDS": options.seeds, "OUT": options.out, "CLUSTER": options.cluster}
    values |= {"DATASET": None if name in OWN_DATA else options.dataset, "WORKERS": options.workers}
    values |= {"DEVICE": None if options.device == "auto" else options.device, "RUNS_PER_GPU": options.runs_per_gpu}
    values |= {"PLAN": int(options.plan) or None, "REPORT": int(options.report) or None}
    values |= {"PAPER": int(options.paper) or None, "PROJECT": int(options.project) or None}
    slurm = options.slurm
    values |= {"PARTITION": slurm.partition, "GPUS": slurm.gpus, "CPUS": slurm.cpus, "MEMORY": slurm.memory}
    values |= {"LIMIT_MINUTES": slurm.limit_minutes, "SLURM": slurm.sbatch, "SETUP": slurm.setup}
    values |= {"PARALLEL": slurm.parallel, "REQUEUES": slurm.requeues, "NOTICE": slurm.notice}
    values |= {"FORCE": int(slurm.force) or None}
    if name == "chains":
        del values["SEEDS"]  # each setting of its training has as many as the profile says
    takes = TARGETS[name].takes
    return {key: str(value) for key, value in values.items() if value not in (None, "") and key in takes}
