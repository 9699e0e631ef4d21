"""make gpu-natural in smoke size on the CPU: trained for a time, cut short, packed in small files, measured later."""

from __future__ import annotations

import json
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from baselines import METHODS
from clel.config import ConfigError
from clel.runs.config import load_config, save_config
from experiments.borrowed import child, command, pack
from experiments.borrowed.child import Drawn, halved
from experiments.borrowed.command import GpuNatural, cells_of
from experiments.cli import main

SMOKE = ["gpu-natural", "--profile", "smoke", "--device", "cpu"]


def fill(run: Path, n: int, shape: tuple[int, ...] = (3, 32, 32), parts: int = 2) -> None:
    """A run's folder as a child leaves it, with n noisy images, which do not compress."""
    place = run / "borrowed"
    place.mkdir(parents=True)
    (run / "config.json").write_text("{}")
    (run / "log.jsonl").write_text("")
    rng = np.random.default_rng(n)
    for k, part in enumerate(np.array_split(rng.integers(0, 256, (n, *shape), dtype=np.uint8), parts)):
        np.save(place / f"samples-{k:06d}.npy", part)
    torch.save({"weight": torch.zeros(5 * 10**6, dtype=torch.float16), "bias": torch.ones(3)}, place / "weights.pt")
    Drawn({"status": "ok"}, "abc", samples=n, asked=10_000, seconds=2.0).write(place)


def test_a_pack_has_equally_many_samples_of_each_and_keeps_to_its_size(tmp_path: Path) -> None:
    runs = [tmp_path / name for name in ("a", "b", "nothing")]
    fill(runs[0], 3000)
    fill(runs[1], 2500)
    runs[2].mkdir()
    folder = tmp_path / "pack"
    assert pack.pack(folder, runs, {"minutes": 8.0}, 60_000_000) == {"a": 2500, "b": 2500, "nothing": 0}
    assert max(path.stat().st_size for path in folder.rglob("*") if path.is_file()) < 15_000_000
    whole = pack.images_of(runs[0])
    assert np.array_equal(pack.packed_samples(folder / "runs/a").numpy(), whole[:2500])
    assert json.loads((folder / "runs/a/drawn.json").read_text())["packed"] == 2500
    assert json.loads((folder / "pack.json").read_text())["minutes"] == 8.0
    few = pack.pack(folder, runs, {}, 30_000_000)
    assert few["a"] == few["b"] and 0 < few["a"] < 2500 and pack.bytes_in(folder) < 30_001_000
    assert len(pack.packed_samples(folder / "runs/b")) == few["b"]
    weights: dict[str, Any] = {}
    for path in (folder / "runs/a").glob("weights-*.pt"):
        weights |= torch.load(path, weights_only=True)
    assert weights.keys() == {"weight", "bias"}


def test_large_weights_are_split_between_tensors(tmp_path: Path) -> None:
    tensors = {str(k): torch.full((3 * 10**6,), float(k), dtype=torch.float16) for k in range(4)}
    pack.save_weights(tensors, tmp_path)
    files = sorted(tmp_path.glob("weights-*.pt"))
    assert len(files) == 2 and all(path.stat().st_size < 15_000_000 for path in files)
    assert halved(torch.ones(2)).dtype == torch.float16 and halved(torch.ones(2).long()).dtype == torch.int64


def test_the_rows_are_the_papers_and_nothing_is_measured_on_the_way() -> None:
    cells = cells_of(GpuNatural(), "cpu")
    assert [cell.row for cell in cells] == ["igebm", "plain", "clel"]
    for cell in cells:
        run: Any = cell.run
        recipe = METHODS[run.method].recipe("small")
        assert run.config == recipe.config and run.dataset == "cifar10"
        assert run.train == replace(recipe.train, minutes=8.0, evaluate_every=0, sample_every=0)
        assert (run.evaluate.samples, run.evaluate.steps, run.evaluate.rounds) == (10_000, 600, 1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--minutes", "0"], "MINUTES is 0"),
        (["--minutes", "8", "--budget", "8"], "BUDGET is 8 minutes; expected more than MINUTES, 8"),
        (["--report"], "no pack of profile smoke"),
        (["--dataset", "nowhere.npz"], "nowhere.npz"),
    ],
)
def test_errors_for_people(
    options: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*SMOKE, "--out", str(tmp_path / "out"), *options]) == 2
    assert message in capsys.readouterr().err and not (tmp_path / "out").exists()


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_card_is_not_replaced_by_the_cpu_unasked(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="sees no GPU"):
        command.main(GpuNatural(out=tmp_path))


@pytest.mark.slow
def test_from_the_card_to_the_table(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two of its rows."""
    monkeypatch.setattr(command, "ROWS", ("plain", "clel"))
    monkeypatch.setenv("CLEL_CACHE", str(tmp_path / "none"))
    assert main([*SMOKE, "--minutes", "0.02", "--budget", "5", "--out", str(tmp_path)]) == 0
    assert not (tmp_path / "none").exists()  # no feature space is needed
    (folder,) = (tmp_path / "gpu-natural").iterdir()
    places = list((folder / "runs").iterdir())
    assert len(places) == 2
    for place in places:
        run = load_config(place, METHODS)
        assert run.train.minutes == 0.02 and run.train.measured_iterations > 0
        training = json.loads((place / "training.json").read_text())["training"]
        assert training["iterations"] == run.train.measured_iterations
        assert {"buffer.png", "drawn.json", "weights-0.pt", "samples-00.npz"} <= {p.name for p in place.iterdir()}
        assert pack.packed_samples(place).shape == (100, 1, 8, 8)
    # on another machine, which has the pack alone
    monkeypatch.setenv("CLEL_CACHE", str(cache))
    other = tmp_path / "other"
    other.mkdir()
    (tmp_path / "gpu-natural").rename(other / "gpu-natural")
    assert main([*SMOKE, "--report", "--out", str(other)]) == 0
    (page,) = other.glob("smoke-*/table1.md")
    table = pd.read_csv(page.with_name("table1.csv"), index_col="row")
    assert list(table.index) == ["noise", "real", "plain", "clel"]
    assert (table["n"] == 1).all() and (table.loc["plain":, "iterations"] > 0).all()
    assert "every run trained for 0.02 minutes on" in page.read_text()
    assert (page.parent / "figures/samples.png").exists()


@pytest.mark.slow
def test_when_the_time_is_over_what_there_is_is_packed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Training for four minutes, which are over, however busy the machine is, after an iteration."""
    cell = cells_of(GpuNatural(minutes=4.0, profile="smoke"), "cpu")[1]
    run = tmp_path / cell.run_name
    save_config(cell.run, run)

    class AfterAnIteration(threading.Timer):
        def run(self) -> None:
            while not self.finished.wait(0.01):
                if log.exists():
                    return self.function()

    log = run / "log.jsonl"
    monkeypatch.setattr(child.threading, "Timer", AfterAnIteration)
    assert child.main(run, time.time() + 240) == 1
    assert not (run / "training.json").exists()  # a longer one may go on with it
    counts = pack.pack(tmp_path / "pack", [run], {}, 60_000_000)
    drawn = json.loads((tmp_path / "pack/runs" / run.name / "drawn.json").read_text())
    assert drawn["ended"]["status"] == "timeout" and "the time was over at iteration" in drawn["ended"]["reason"]
    assert counts == {run.name: drawn["samples"]} and drawn["ended"]["training"]["iterations"] > 0
