"""What a training took, as a record states it."""

from __future__ import annotations

from typing import Any

import torch

from clel.machine.costs import peak_memory
from clel.methods.method import Method
from clel.networks.energy_network import parameter_count
from clel.training.trainer import Outcome


def training_costs(method: Method, outcome: Outcome, device: torch.device) -> dict[str, Any]:
    """What training took: the record's "training" table; of more than one stage, each one's share too."""
    peak, kind = peak_memory(device)
    shares: dict[str, Any] = {}
    if outcome.busy_cores is not None:
        shares["busy_cores"] = round(outcome.busy_cores, 3)
    for stage in outcome.stages if len(outcome.stages) > 1 else ():
        shares |= {f"{key}_{stage.name}": getattr(stage, key) for key in ("iterations", "seconds", "peak_memory_bytes")}
    return {
        "parameters": sum(parameter_count(module) for module in method.counted()),
        "iterations": outcome.iterations,
        "images": outcome.images,
        "seconds": outcome.seconds,
        "gradient_evaluations": outcome.gradient_evaluations,
        "divergences": outcome.divergences,
        # a GPU's peak starts anew with each stage
        "peak_memory_bytes": max([peak, *(stage.peak_memory_bytes for stage in outcome.stages)]),
        "peak_memory_kind": kind,
        **shares,
    }
