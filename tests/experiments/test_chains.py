"""The study of fresh chains and the buffer: its trainer, its measurements, its tables, and all of it smoke-sized."""

from __future__ import annotations

import itertools
import math
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from torch import Tensor

from clel import CLEL, Trainer
from clel.chains.langevin import langevin
from clel.config import ConfigError, to_dict
from clel.features.reference import Reference
from clel.metrics import Moments
from clel.random import stream
from clel.storage import checkpoint
from experiments import cli as program
from experiments.chains.command import Chains, chains_cells
from experiments.chains.figures import chains_figure
from experiments.chains.rows import load_rows
from experiments.chains.table import chains_table, mean_and_range
from experiments.printing.drawing import png
from experiments.runs import cell
from experiments.runs.chains import measure, settings
from experiments.runs.chains.trainer import StudyTrainer
from experiments.sweep import local
from tests.clel.training.test_trainer import equal
from tests.clel.training.trainer_process import TRAIN, small_config, small_images
from tests.experiments.conftest import is_short

SHORT = replace(TRAIN, iterations=12, evaluate_every=0, sample_every=0)
HALF_LIVES = (0.0, 16.0, 40.0)


def method() -> CLEL:
    return CLEL.build(small_config(), small_images().spec, 0)


def study_trainer(folder: Path, kind: type[StudyTrainer] = StudyTrainer) -> StudyTrainer:
    return kind(method(), small_images(), SHORT, folder, 0, HALF_LIVES, snapshots=3, snapshot_every=2)


class Recording(StudyTrainer):
    """Remembers the weights after each step; stops before iteration `stop_at`."""

    stop_at = math.inf

    def step(self) -> dict[str, Tensor]:
        if self.iteration == self.stop_at:
            raise InterruptedError
        losses = super().step()
        self.seen = getattr(self, "seen", {})
        self.seen[self.iteration] = {n: p.detach().clone() for n, p in self.method.named_parameters()}
        return losses


def test_averages_are_those_of_a_training_each(tmp_path: Path) -> None:
    trainer = study_trainer(tmp_path / "all")
    trainer.run()
    for half_life in HALF_LIVES:
        single = Trainer(
            method(), small_images(), replace(SHORT, ema_half_life=half_life), tmp_path / f"{half_life}", 0
        )
        single.run()
        assert equal(trainer.averages[half_life].state_dict(), single.average.state_dict())
    assert not equal(trainer.averages[16.0].state_dict(), trainer.averages[40.0].state_dict())
    assert equal(trainer.averages[0.0].state_dict(), dict(trainer.method.named_parameters()))


def test_snapshots_are_the_weights_of_their_iterations(tmp_path: Path) -> None:
    trainer = study_trainer(tmp_path, Recording)
    trainer.run()
    assert list(trainer.snapshots) == [8, 10, 12]
    for iteration, snapshot in trainer.snapshots.items():
        assert equal(snapshot.state_dict(), trainer.seen[iteration])  # type: ignore[attr-defined]


@pytest.mark.parametrize("stop_at", [1, 7, 11])
def test_a_stop_changes_neither_averages_nor_snapshots(tmp_path: Path, stop_at: int) -> None:
    study_trainer(tmp_path / "whole").run()
    stopped = study_trainer(tmp_path / "stopped", Recording)
    stopped.stop_at = stop_at  # type: ignore[attr-defined]
    with pytest.raises(InterruptedError):
        stopped.run()
    study_trainer(tmp_path / "stopped").run()
    states = [checkpoint.latest(tmp_path / name / "checkpoints") for name in ("whole", "stopped")]
    # what it cost is another thing than what came out
    whole, again = ({k: v for k, v in s[1].items() if k != "costs"} for s in states if s is not None)
    assert equal(whole, again)


def test_a_trace_is_one_chain(tmp_path: Path) -> None:
    model = method().eval()
    found = dict(measure.trace(model, 5, (1, 3, 4), stream("cpu", 0, "a")))
    for k, x in found.items():
        assert torch.equal(x, model.sample(5, stream("cpu", 0, "a"), k))
    start, generator = torch.full((5, 1, 8, 8), 0.5), stream("cpu", 0, "b")
    (_, run_on), *_ = measure.trace(model, 5, (4,), stream("cpu", 0, "b"), start)
    assert torch.equal(run_on, langevin(model.frozen_energy(), start, model.config.langevin, generator, 4))


def test_noise_is_put_back() -> None:
    model = method()
    before = model.config

    def body() -> None:
        assert model.config.langevin.noise == 0.3
        raise KeyError

    with pytest.raises(KeyError), measure.sampler_noise(model, 0.3):
        body()
    assert model.config is before


def brightness_space(pixels: Tensor) -> tuple[Tensor, Tensor]:
    """Two features; the class is the brightest quarter of the range that the first pixel lies in."""
    features = pixels.double().flatten(1)[:, :2]
    return features, torch.eye(4).double()[(pixels[:, 0, 0, 0] // 64).long()]


def test_describe_by_hand() -> None:
    images = small_images()
    features, _ = brightness_space(images.pixels)
    gaussian = Moments.of(features).gaussian
    real = measure.Real(Reference("x", 64, "x", gaussian, None, brightness_space), images)  # type: ignore[arg-type]
    own = measure.describe_images((images.pixels.float() + 0.5) / 256, real)
    assert own["distance"] == pytest.approx(0, abs=1e-6) and own["n"] == 64
    assert own["intensity"] == own["intensity_data"] == pytest.approx(float(images.pixels.double().mean()) / 255)
    x = torch.rand(8, 1, 8, 8)
    x[:6, 0, 0, 0], x[6:, 0, 0, 0] = 0.1, 0.9
    found = measure.describe_images(x, real)
    assert found["classes"] == 2 and found["confident"] == 1 and found["top_share"] == 0.75
    assert found["effective_classes"] == pytest.approx(0.75**-0.75 * 0.25**-0.25)


def made_up() -> pd.DataFrame:
    """Rows of two restart rates and two seeds whose distances are known."""
    rows: list[dict[str, Any]] = []
    common = {"energy": 0.002, "energy_data": 0.001, "intensity": 0.5, "intensity_data": 0.3, "n": 100}
    common |= {"features": "classifier-v1 (digits)", "git_sha": "0123456789abcdef", "effective_classes": 5.0}
    for (restart, cooldown), seed in itertools.product(((0.01, 0.0), (1.0, 0.0), (1.0, 0.25)), (0, 1)):
        labels = {"restart": restart, "cooldown": cooldown, "seed": seed, "noise": 0.001} | common
        rows.append(labels | {"kind": "buffer", "half_life": 0.0, "steps": 0, "distance": 1.0 + seed})
        rows.append(labels | {"kind": "held-out", "half_life": 0.0, "steps": 0, "distance": 0.2})
        for steps in (10, 30, 200):
            for half_life, kind in ((0.0, "fresh"), (40.0, "fresh"), (0.0, "mixture"), (0.0, "continued")):
                distance = (6.0 if half_life == 0 else 3.0) + seed + (steps != 30) * steps
                rows.append(labels | {"kind": kind, "half_life": half_life, "steps": steps, "distance": distance})
            rows.append(labels | {"kind": "fresh", "half_life": 0.0, "steps": steps, "noise": 0.1, "distance": 77.0})
    return pd.DataFrame(rows)


def test_the_table_says_what_the_rows_say() -> None:
    lines = [re.split(r" *\| *", line.strip("| ")) for line in chains_table(made_up()).splitlines() if "|" in line]
    average = next(line for line in lines if line[:2] == ["100 %", "40"])
    # the buffer is 1 and 2, fresh chains 3 and 4 at their best: ratios of 3 and 2
    assert average[2:6] == ["1.50 (1.00 to 2.00)", "3.50 (3.00 to 4.00)", "30", "2.50 (2.00 to 3.00)"]
    assert average[6:10] == ["3.50", "203.50", "2.00", "2.00"]
    noisy = next(line for line in lines if line[1].endswith("noise 0.1") and line[0] == "1 %")
    assert noisy[2:] == ["77.00 (77.00 to 77.00)"] * 2
    assert mean_and_range(pd.Series([1.0])) == "1.00"


def test_the_figure_draws_every_restart_rate() -> None:
    figure = chains_figure(made_up())
    assert len(figure.axes) == 12
    titles = [axes.get_title().split("\n")[0] for axes in figure.axes[:3]]
    assert titles == [f"chains restarted: {name}" for name in ("1 %", "100 %", "100 %, cooled down")]
    assert png(figure).startswith(b"\x89PNG")


def test_a_configuration_survives_its_file() -> None:
    run = settings.chains_run("plain", 0.3, 1, "digits", "cpu", chains=100, steps=(1, 2))
    assert settings.read_run(to_dict(run)) == run
    assert "r0.3-s1" in run.name


@pytest.mark.slow
def test_smoke_from_end_to_end_and_resumed(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One seed and rate; then a run that lost its record and last checkpoint makes the same rows again."""
    monkeypatch.setenv("CLEL_CACHE", str(cache))
    monkeypatch.setattr(local, "available_cores", lambda: 1)  # beside other tests two threads wait for each other
    arguments = [
        "chains",
        "--profile",
        "smoke",
        "--seeds",
        "1",
        "--restarts",
        "0.05",
        "--cooldown",
        "0",
        "--device",
        "cpu",
    ]
    arguments += ["--workers", "1", "--out", str(tmp_path)]
    assert program.main(arguments) == 0
    table = pd.read_csv(tmp_path / "chains-smoke" / "chains.csv")
    assert set(table["kind"]) == {"fresh", "continued", "mixture", "buffer", "held-out"}
    assert set(table[table["kind"] == "fresh"]["half_life"]) == set(settings.HALF_LIVES)
    assert table["distance"].between(0, 100).all() and (table["restart"] == 0.05).all()
    assert (tmp_path / "chains-smoke" / "chains.png").exists()
    assert is_short((tmp_path / "chains-smoke/chains_summary.md").read_text())
    (run,) = (tmp_path / "runs").iterdir()
    before = (run / "rows.jsonl").read_text()
    for lost in (run / "record.json", run / "rows.jsonl", checkpoint.listed(run / "checkpoints")[-1][1]):
        lost.unlink()
    assert cell.main(run) == 0
    assert (run / "rows.jsonl").read_text() == before


def test_runs_without_a_record_are_left_out(tmp_path: Path) -> None:
    cells = chains_cells(Chains(restarts=(0.5,), cooldown=0, seeds=2))
    assert [cell.seed for cell in cells] == [0, 1]
    assert load_rows(cells, tmp_path).empty


def test_the_page_quotes_the_table() -> None:
    """Every distance in the chapter, all of them with two decimals, stands in the committed table."""
    root = Path(__file__).resolve().parent.parent.parent
    chapter = (root / "docs/log/chains.md").read_text()
    table = (root / "results/project/chains/chains.md").read_text()
    quoted = re.findall(r"(?<![\d.])\d+\.\d\d(?!\d)", chapter)
    assert len(quoted) > 10
    known = set(re.findall(r"\d+\.\d+", table))
    assert [number for number in quoted if number not in known] == []


def test_on_natural_images_it_is_the_evening_profiles() -> None:
    cells = chains_cells(Chains(profile="evening"))
    runs: list[Any] = [cell.run for cell in cells]
    assert [(run.restart, run.config.cooldown) for run in runs] == [(0.001, 0), (1.0, 0), (1.0, 0.3)]
    assert {run.dataset for run in runs} == {"cifar10@16"} and {run.seed for run in runs} == {0}
    assert runs[0].config.network == CLEL.recipe("evening").config.network
    own = CLEL.recipe("evening").evaluate
    assert all(run.run.evaluate.features == own.features and run.chains > 1280 for run in runs)
    assert chains_cells(Chains(profile="evening", dataset="shapes"))[0].run.dataset == "shapes@16"
    with pytest.raises(ConfigError, match="did you mean 'evening'"):
        chains_cells(Chains(profile="evenin"))
