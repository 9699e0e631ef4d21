"""Ladders of corruptions: what they do to images, what follows from distances, and the command from end to end."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
import torch

from clel.config import ConfigError
from clel.data import Images
from clel.features.lite0 import SIDE, lite0_space
from clel.networks import lite0
from experiments.features import command
from experiments.features.command import Features, main
from experiments.features.ladders import CLEAN, LADDERS, pool_of, rungs
from experiments.features.table import features_grid, orders, right, smallest_side_in_order
from tests.few import Few

ROOT = Path(__file__).resolve().parents[2]
N = 40


def images(n: int = 400, side: int = 16, classes: int = 10) -> Images:
    """Smooth images, so that patches and blur can be told from noise."""
    generator = torch.Generator().manual_seed(0)
    small = torch.rand(n, 3, 4, 4, generator=generator) * 255
    pixels = torch.nn.functional.interpolate(small, (side, side), mode="bilinear").round().to(torch.uint8)
    return Images(pixels, torch.arange(n) % classes, "made-up", "train", tuple(map(str, range(classes))))


OTHER = Images(torch.full((N, 3, 32, 32), 200, dtype=torch.uint8), name="other")


def test_rungs_are_what_their_strengths_say() -> None:
    made_up = images()
    reference, pool = pool_of(made_up, OTHER, N, seed=0)
    found = rungs(pool, seed=0)
    assert {*found} == {CLEAN, *((name, float(s)) for name, ladder in LADDERS.items() for s in ladder.strengths)}
    assert all(r.shape == reference.shape == (N, 3, 16, 16) and r.dtype == torch.uint8 for r in found.values())
    held = {bytes(image.numpy().tobytes()) for image in reference}
    assert not held & {bytes(image.numpy().tobytes()) for image in pool.clean}
    for name in ("blur", "noise", "JPEG", "swapped patches", "another data set"):
        off = [float((found[name, s].float() - pool.clean).square().mean()) for s in LADDERS[name].strengths]
        assert 0 < off[0] < off[1] < off[2], name
    for pairs in LADDERS["swapped patches"].strengths:
        moved = found["swapped patches", pairs]
        assert torch.equal(moved.flatten(1).sort(1).values, pool.clean.flatten(1).sort(1).values)
        changed = (moved != pool.clean).unflatten(2, (4, 4)).unflatten(4, (4, 4)).any(5).any(3).any(1)
        assert (changed.flatten(1).sum(1) == 2 * pairs).all()
    for share in LADDERS["another data set"].strengths:
        same = (found["another data set", share] == 200).flatten(1).all(1)
        assert int(same.sum()) == round(share / 100 * N)
    labels = {bytes(p.numpy().tobytes()): int(y) for p, y in zip(made_up.pixels, made_up.labels, strict=True)}
    for share in LADDERS["dropped classes"].strengths:
        classes = {labels[bytes(p.numpy().tobytes())] for p in found["dropped classes", share]}
        assert min(classes) == round(share / 10)
    again = rungs(pool_of(made_up, OTHER, N, seed=0)[1], seed=0)
    assert all(torch.equal(found[rung], again[rung]) for rung in found)


def test_images_that_do_not_do_are_refused() -> None:
    with pytest.raises(ConfigError, match="800 are needed"):
        pool_of(images(), OTHER, 400, 0)
    with pytest.raises(ConfigError, match="grey"):
        pool_of(Images(torch.zeros(100, 1, 16, 16, dtype=torch.uint8)), OTHER, N, 0)
    without = Images(images().pixels)
    assert "dropped classes" not in {name for name, _ in rungs(pool_of(without, OTHER, N, 0)[1], 0)}


def rows_of(*sides: tuple[int, tuple[float, ...]]) -> pd.DataFrame:
    """Rows of the ladder noise, whose Frechet distances are given from the clean images on."""
    strengths = (0.0, *LADDERS["noise"].strengths)
    rows = []
    for side, distances in sides:
        for strength, distance in zip(strengths, distances, strict=True):
            name = "noise" if strength else "clean"
            rows.append(
                {
                    "side": side,
                    "seed": 0,
                    "ladder": name,
                    "strength": strength,
                    "distance": distance,
                    "kid": distance / 9,
                }
            )
    return pd.DataFrame(rows).assign(images=N, features="EfficientNet-Lite0")


def test_the_smallest_side_with_every_ladder_in_order_is_chosen() -> None:
    good, bad = (1.0, 2.0, 3.0, 4.0), (1.0, 3.0, 2.0, 4.0)
    assert smallest_side_in_order(rows_of((32, bad), (64, good), (96, good), (224, good))) == 64
    # what the largest side turns round, by chance, is not asked of a smaller one
    assert smallest_side_in_order(rows_of((32, bad), (64, good), (224, bad))) == 64
    assert smallest_side_in_order(rows_of((32, bad), (224, bad))) is None
    assert smallest_side_in_order(rows_of((32, bad), (224, good))) == 224
    assert right((0.0, 2.0, 4.0)) and not right((2.0, 0.0, 4.0))
    # what one draw says by chance, another may not
    two = pd.concat(
        [rows_of((32, good), (64, good), (224, good)), rows_of((32, bad), (64, good), (224, good)).assign(seed=1)]
    )
    assert smallest_side_in_order(two) == 64
    rows = rows_of((32, bad), (224, good))
    assert orders(rows[rows["side"] == 32])["noise", "distance", 0] == (0.0, 4.0, 2.0, 8.0)
    lines = [[cell.text for cell in row] for row in features_grid(rows).rows]
    assert ["ladders in order", "", "0 of 1", "1 of 1"] in lines and [
        "order of the largest side",
        "",
        "no",
        "yes",
    ] in lines


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Features:
    """Few images at two small sides, and of Lite0's features three mixtures."""
    monkeypatch.setenv("CLEL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(command, "DIMENSION", 8)
    monkeypatch.setattr(command, "lite0_space", lambda *given: Few.of(lite0_space(*given), seed=0))
    monkeypatch.setattr(command, "load", lambda name, split: images(100) if name == "made-up" else OTHER)
    return Features("made-up", images=20, sides=(64, 32), seeds=1, device="cpu", out=tmp_path)


@pytest.mark.slow
def test_the_command_writes_its_table_and_measures_nothing_twice(
    small: Features, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(small) == 0
    folder = small.out / "features-made-up"
    first = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert {*first} == {"features.md", "features.tex", "features.csv", "table.json"}
    rows = pd.read_csv(folder / "features.csv")
    assert len(rows) == 2 * (1 + 3 * len(LADDERS)) and set(rows["side"]) == {32, 64} and (rows["distance"] > 0).all()
    text = first["features.md"].decode()
    assert "EfficientNet-Lite0" in text and "make features DATASET=made-up IMAGES=20 SIDES=64,32" in text
    assert json.loads(first["table.json"])["features"]["dataset"] == "made-up"
    monkeypatch.setattr(lite0.Lite0, "forward", lambda self, x: pytest.fail("measured again"))
    assert main(small) == 0
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == first


def test_the_default_side_is_the_one_that_the_committed_ladders_choose() -> None:
    found = sorted(ROOT.glob("results/project/features*/features.csv"))
    if not found:
        pytest.skip("the project's own ladders were not measured yet")
    for path in found:
        assert smallest_side_in_order(pd.read_csv(path)) == SIDE
