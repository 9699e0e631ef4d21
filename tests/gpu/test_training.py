"""Every method trains, samples, and goes on from a checkpoint on a GPU, and from one device to the other."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from baselines import METHODS
from clel import Trainer
from clel.methods.settings import EvaluateConfig
from clel.runs.config import engines, resolve
from clel.sampling.fresh import draw_fresh
from clel.storage import checkpoint
from tests.gpu.small import CPU, on_gpu, seeded, trainer

CASES: list[tuple[str, str | None]] = [
    (name, engine)
    for name in METHODS
    for engine in (("exact", "fast") if "fast" in engines(resolve(METHODS, name, "quick")) else (None,))
]
EBMS = [(name, engine) for name, engine in CASES if engine is not None]


class Stopped(Exception):
    """Stands for a kill."""


def stop(run: Trainer, at: int) -> None:
    """Run, and be killed in the iteration after `at`."""
    step = run.step

    def killed() -> Any:
        if run.iteration == at:
            raise Stopped
        return step()

    run.step = killed  # type: ignore[method-assign]
    with pytest.raises(Stopped):
        run.run()


def weights(run: Trainer) -> Tensor:
    """All of them in one vector, on the CPU."""
    return torch.cat([p.detach().flatten() for p in run.method.parameters() if p.requires_grad]).cpu()


@on_gpu
@pytest.mark.parametrize(("name", "engine"), CASES)
def test_a_training(name: str, engine: str | None, device: torch.device, tmp_path: Path) -> None:
    """Finite losses, other weights, and images as samples; no chain falls back to plain steps."""
    run = trainer(name, engine, device, tmp_path)
    before = weights(run)
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        assert run.run().status == "ok"
        x = run.method.eval().sample(5, seeded(device), 12)
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [line["iteration"] for line in lines if line["kind"] == "train"] == [1, 2, 3, 4]
    after = weights(run)
    assert bool(after.isfinite().all()) and float((after - before).norm()) > 0
    assert x.device.type == device.type and x.shape == (5, 3, 16, 16)
    assert float(x.min()) >= 0 and float(x.max()) <= 1 and float(x.std()) > 0.01


@on_gpu
@pytest.mark.parametrize(("name", "engine"), EBMS)
def test_a_run_that_was_killed_ends_where_the_other_does(
    name: str, engine: str, device: torch.device, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A GPU's sums may come in another order, so not to the last bit: near, on the scale of what training did.

    Another batch, other noise or a lost moment of an optimiser would make it as far.
    """
    monkeypatch.setattr(torch.backends.cudnn, "deterministic", True)
    whole = trainer(name, engine, device, tmp_path / "whole")
    start = weights(whole)
    whole.run()
    stop(trainer(name, engine, device, tmp_path / "killed"), 3)
    again = trainer(name, engine, device, tmp_path / "killed")
    again.run()
    assert float((weights(again) - weights(whole)).norm() / (weights(whole) - start).norm()) < 0.1
    chains = [run.method.chains() for run in (again, whole)]
    assert chains[0] is not None and chains[1] is not None
    assert float((chains[0] - chains[1]).abs().mean()) < 1e-3


@on_gpu
@pytest.mark.parametrize("name", ["clel", "plain"])
@pytest.mark.parametrize("first", ["cuda", "cpu"])
def test_a_run_goes_on_on_the_other_device(name: str, first: str, device: torch.device, tmp_path: Path) -> None:
    """Its state is the same there, to the last bit, before it goes on."""
    places = (device, CPU) if first == "cuda" else (CPU, device)
    stop(trainer(name, "fast", places[0], tmp_path), 2)
    found = checkpoint.latest(tmp_path / "checkpoints")
    assert found is not None and found[0] == 2
    run = trainer(name, "fast", places[1], tmp_path)
    run.restore(*found)
    for key, value in run.method.state_dict().items():
        assert value.device.type == places[1].type and torch.equal(value.cpu(), found[1]["method"][key]), key
    assert run.run().iterations == 4 and bool(weights(run).isfinite().all())


@on_gpu
@pytest.mark.parametrize(("name", "protocol"), [("clel", "clean"), ("clel", "paper"), ("igebm", "clean")])
def test_sampling_protocols(name: str, protocol: str, device: torch.device, tmp_path: Path) -> None:
    """In rounds, and with a last batch of another size."""
    method = trainer(name, "fast", device, tmp_path).method.eval()
    config = EvaluateConfig(samples=12, steps=22, rounds=2, batch=8)
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        x, same, other = (draw_fresh(method, 12, config, seed, protocol=protocol) for seed in (0, 0, 1))
    assert x.dtype == torch.uint8 and x.device == CPU and x.shape == (12, 3, 16, 16)
    near = (x.float() - same.float()).abs().mean()
    assert float(near) < 2 < float((x.float() - other.float()).abs().mean())
