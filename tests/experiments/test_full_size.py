"""The way that a user with natural images takes, to its end: evening, small and paper, every preset of every method,
with batches, chains, widths and numbers cut, through Lite0 and Inception of random weights to the finished table."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch.nn.functional as F

from baselines import METHODS
from clel.evaluation import feature_choice
from clel.features.inception import inception_space
from clel.features.lite0 import lite0_space
from clel.features.spaces import FEATURES
from clel.runs.config import resolve
from experiments.cli import main
from experiments.sweep import grid
from experiments.sweep.grid import PROFILES
from experiments.table1 import command as table1
from tests.few import Few, MeanColour
from tests.inception_files import write_state_dict

SIZES: dict[str, Callable[[int], int]] = {
    **{"batch_size": lambda n: 4, "vae_batch_size": lambda n: 4, "contrastive_batch_size": lambda n: max(4, n // 32)},
    **{"size": lambda n: 14, "steps": lambda n: min(n, 2), "draws": lambda n: 1, "latents": lambda n: 2},
    **{name: lambda n: 8 for name in ("hidden", "features", "width")},
    "blocks": lambda n: max(1, n // 4),
}
"""What becomes of every number of these names, in any table of a method's settings; presets stay different ones."""
SAMPLES = 10
LARGER = ("multiscale", "multiscale-256", "large")
"""CLEL's presets whose encoder is that of `paper`, which is walked through: here the tiny one, 100 MB a file less."""
ITERATIONS = int(os.environ.get("CLEL_FULL_SIZE_ITERATIONS", "2"))
"""A hundred take some twenty minutes of a slow core, which is too long for every run of the tests."""


def cut(config: Any) -> Any:
    """The settings with these sizes; of lists of widths and of cells as many entries as before, each smaller."""
    changes: dict[str, Any] = {}
    for f in fields(config):
        value = getattr(config, f.name)
        if is_dataclass(value):
            changes[f.name] = cut(value)
        elif f.name in SIZES and isinstance(value, int):
            changes[f.name] = SIZES[f.name](value)
        elif f.name == "widths":
            changes[f.name] = tuple(width // 32 for width in value)
        elif f.name == "groups":
            changes[f.name] = (2,) * len(value)
    return replace(config, **changes)


def tiny(run: Any) -> Any:
    """The run's first iterations, with a checkpoint between; its evaluation on ten images."""
    train = replace(run.train, iterations=ITERATIONS, checkpoint_every=ITERATIONS // 2, log_every=2)
    looks = min(run.train.evaluate_every, ITERATIONS // 2)
    train = replace(train, sample_every=ITERATIONS, evaluate_every=looks, evaluate_samples=SAMPLES)
    train = replace(train, representation_images=30 if looks else 0)
    evaluate = replace(run.evaluate, samples=SAMPLES, steps=min(2, run.evaluate.steps), bootstrap=0, kid_subset=8)
    evaluate = replace(evaluate, rounds=1, beyond=1.5 if run.evaluate.beyond > 1 else 1.0)
    config = cut(run.config)
    if run.preset in LARGER:
        config = replace(config, encoder=replace(config.encoder, kind="tiny"))
    return replace(run, config=config, train=train, evaluate=evaluate)


@pytest.fixture(scope="module")
def inception(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Few]:
    cache = tmp_path_factory.mktemp("weights")
    space = inception_space("inception-pytorch", "cpu", cache, write_state_dict(cache / "inception"))
    small = replace(space, name="inception-clean", resize=lambda x: F.interpolate(x.float(), size=75, mode="bilinear"))
    few = Few.of(small, seed=0)
    return lambda train, held_out, cache: few


@pytest.fixture(scope="module")
def lite0() -> Callable[..., Few]:
    few = Few.of(lite0_space("cpu", side=32), seed=1)
    return lambda train, held_out, cache: few


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Thirty RGB images of 32x32 pixels, and fourteen held out."""
    pixels = np.random.default_rng(0).integers(0, 256, (44, 32, 32, 3), dtype=np.uint8)
    labels = np.arange(44) % 2
    parts = {"images": pixels[:30], "labels": labels[:30], "images_test": pixels[30:], "labels_test": labels[30:]}
    np.savez(tmp_path / "mine.npz", **parts)
    return tmp_path / "mine.npz"


@pytest.mark.slow
@pytest.mark.parametrize("profile", ["evening", "small", "paper"])
def test_every_preset_comes_to_a_row(
    profile: str,
    inception: Callable[..., Few],
    lite0: Callable[..., Few],
    images: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CLEL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setitem(FEATURES, "lite0", lite0)
    if profile == "small":
        monkeypatch.setitem(FEATURES, "inception-clean", inception)
    # the ways are these, and the networks are slow; names are the networks', by which tables know them
    shown = {"lite0": lite0(None, None, None).name, "inception-clean": "inception-clean"}
    for name in {"evening": ["inception-clean"], "paper": ["lite0", "inception-clean"]}.get(profile, []):
        colour = MeanColour(shown[name], identity=f"stand-in of {name}")
        monkeypatch.setitem(FEATURES, name, lambda train, held_out, cache, colour=colour: colour)
    # as on a machine that has the weights
    monkeypatch.setattr(feature_choice, "is_there", lambda weights: True)
    monkeypatch.setattr(grid, "resolve", lambda *given, **changes: tiny(resolve(*given, **changes)))
    given = replace(PROFILES[profile].given, samples=SAMPLES, bootstrap=0, kid_subset=8)
    monkeypatch.setitem(PROFILES, profile, replace(PROFILES[profile], given=given))  # type: ignore[arg-type]
    order = ["table1", "--profile", profile, "--dataset", str(images), "--out", str(tmp_path), "--device", "cpu"]
    assert main([*order, "--cluster", "debug"]) == 0

    folder = tmp_path / table1.table_name(table1.Table1(profile=profile, dataset=str(images)))
    table = pd.read_csv(folder / "table1.csv", index_col="row")
    known = {(m, p) for m in METHODS for p in PROFILES[profile].presets if p in METHODS[m].recipes()}
    main_preset = PROFILES[profile].presets[0]
    rows = {method if preset == main_preset else f"{method}:{preset}" for method, preset in known}
    assert set(table.index) == rows | {"noise", "real"} and {m for m, _ in known} == set(METHODS)
    assert (table["n"] == 1).all() and table["fid_fresh_mean"].notna().all()
    assert table.loc[["plain", "clel"], "fid_buffer_mean"].notna().all()
    text = (folder / "table1.md").read_text()
    if profile == "evening":
        assert "features EfficientNet-Lite0" in text and "Fréchet distance,<br>EfficientNet-Lite0 ↓" in text
        assert "mine.npz at 16x16" in text and (folder / "figures/learned.png").is_file()
    else:
        assert table.loc[["plain", "clel"], "fid_paper_mean"].notna().all()
        assert "features inception-clean" in text and "FID ↓" in text and "Inception<br>Score" in text
        assert "EfficientNet-Lite0" in text
    for path in tmp_path.glob("runs/*/training.json"):
        assert json.loads(path.read_text())["training"]["iterations"] == ITERATIONS
    assert len(list(tmp_path.glob("runs/*/training.json"))) == len(rows)
